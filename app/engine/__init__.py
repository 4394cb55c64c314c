"""The engine: sessions, live rooms, the journal, and the tools of all subjects."""
