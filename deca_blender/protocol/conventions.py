"""What both sides agree on beside the messages: names, sizes and orders. Standard library alone."""

from __future__ import annotations

OPENHEAD = "openhead"
"""Name of the bundled head model, and of the albedo model that comes with it."""

OPENHEAD_FILE = f"{OPENHEAD}/{OPENHEAD}.safetensors"
BUILTIN_WEIGHTS_FILE = f"weights/{OPENHEAD}.safetensors"
"""Below the bundled data: the head model, and the weights that belong to it."""

BUILTIN_WEIGHTS = ""
"""Stands for them where weights are chosen (messages, heads, preferences, `load_models`); else it is a file's path."""

JOINTS = ("root", "neck", "jaw", "eye_l", "eye_r")
"""The joints of head models, in FLAME's order; in Blender each is also a bone and a vertex group."""

CROP_SIZE = 224
"""Rows and columns of DECA's crop of a photo, pixels."""
