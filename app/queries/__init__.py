"""What is read from the database and written to it: a file a subject."""
