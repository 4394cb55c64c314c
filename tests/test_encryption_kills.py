"""A client that encrypts is killed with kill -9 at a real server: see encryption_kills.py."""

from pathlib import Path

from tests.encryption_kills import kill

KILLS, SEED = 5, 7


# What was in the outbox of a client that was killed goes out when it comes back, once; no step of a
# ratchet is taken twice, and all is read. `make encryption-kills` does this 200 times.
def test_a_kill_of_a_client_loses_nothing(tmp_path: Path) -> None:
    assert kill(KILLS, SEED, tmp_path) == []
