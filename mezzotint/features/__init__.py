"""Feature vectors of images: networks that look, each with its name, hash and resize rule."""
