"""Taking a room or the whole database elsewhere, and back."""
