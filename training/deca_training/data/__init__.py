"""Photos for training: folders of photos -> an index -> batches of crops with landmarks and masks."""
