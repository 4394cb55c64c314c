"""What may happen: the service layer. Knows no socket and no format."""
