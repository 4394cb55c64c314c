"""The database: its tables, and the threads that read and write it."""
