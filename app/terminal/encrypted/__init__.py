"""What is encrypted. It needs a library that there may not be."""
