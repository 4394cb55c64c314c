"""The text wire: for people at telnet and nc."""
