"""The engine: sessions, live rooms, the journal, and what all subjects work with."""
