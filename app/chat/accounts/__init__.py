"""Accounts: logging in, and all that ends a login."""
