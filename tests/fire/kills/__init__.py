"""Kills of a server at every stage, and of a client that encrypts."""
