"""A comparison as one page that needs no network and nothing beside it."""
