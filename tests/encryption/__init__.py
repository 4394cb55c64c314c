"""Tests of end-to-end encryption, against a server in memory that may lie."""
