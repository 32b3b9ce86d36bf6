"""Networks: tensors in, tensors out; no losses, no training, no families."""
