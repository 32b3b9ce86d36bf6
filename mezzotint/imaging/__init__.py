"""Pictures as files: decoding, resizing, sheets of many, how they were made."""
