"""Encrypted rooms. This needs a library that may be missing."""
