"""Removing for good: messages, files and accounts."""
