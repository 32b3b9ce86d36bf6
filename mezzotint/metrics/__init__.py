"""Measurements: arrays in, numbers out; never a model."""
