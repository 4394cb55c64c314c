"""Rooms: entering and leaving them, members, and what admins do to them."""
