"""Bytes to commands, events to bytes: a folder a wire. Pure."""
