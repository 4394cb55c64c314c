"""The service layer: the rules of the chat. Knows no socket and no format."""
