"""Conversations with a real server, word for word."""
