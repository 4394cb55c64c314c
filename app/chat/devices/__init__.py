"""Devices that encrypt: their keys, and mail between them."""
