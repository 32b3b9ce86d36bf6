"""Texts as the networks see them."""
