"""Run folders: checkpoints, history, and models read back from them."""
