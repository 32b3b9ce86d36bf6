"""Files that are whole or absent, small texts read strictly, tensors without pickle."""
