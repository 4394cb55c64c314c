"""Sockets and greenlets."""
