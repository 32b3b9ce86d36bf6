"""One server for all models: an HTTP interface, a page, and workers that hold the models."""
