"""Bytes to commands, events to bytes. Pure: no sockets, no gevent, no service."""
