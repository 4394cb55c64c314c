"""Statements that read and write the database: a file a subject."""
