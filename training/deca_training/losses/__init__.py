"""The losses of DECA's training, one file each: pure functions of tensors, differentiable, in float32 at least."""
