"""One server for all models: an HTTP interface and workers that hold the models."""
