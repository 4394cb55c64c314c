"""Talking: in rooms, and between two users."""
