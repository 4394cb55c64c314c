"""Attacks: nobody else notices, and nothing is shown that is not stored."""
