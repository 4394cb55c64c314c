"""Taking all of it elsewhere, and back."""
