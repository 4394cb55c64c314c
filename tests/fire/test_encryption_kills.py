"""A client that encrypts is killed with kill -9 at a real server: see encryption_kills.py."""

import time
from pathlib import Path

import pytest

from tests.fire.kills import encryption_kills
from tests.fire.kills.encryption_kills import kill

KILLS, SEED = 5, 7


# What was in the outbox of a client that was killed goes out when it comes back, once; no step of a
# ratchet is taken twice, and all is read. `make fire ARGS=kills` does this 200 times.
def test_a_kill_of_a_client_loses_nothing(tmp_path: Path) -> None:
    assert kill(KILLS, SEED, tmp_path) == []


def _end(*_about: object) -> None:
    """Be a client that ends before it is killed."""


def _hang(*_about: object) -> None:
    """Be a client that says nothing."""
    time.sleep(600)


# A client that ends by itself, or hangs, is told of, with the seed; nobody waits for it.
@pytest.mark.parametrize(
    ("client", "what"), [(_end, "it ended by itself"), (_hang, "it says nothing any more")]
)
def test_a_client_that_can_not_be_killed(tmp_path: Path, monkeypatch, client, what: str) -> None:
    monkeypatch.setattr(encryption_kills, "be_killed", client)
    if client is _hang:
        monkeypatch.setattr(encryption_kills, "REPORT_SECONDS_MAX", 0.0)
    assert kill(KILLS, SEED, tmp_path) == [f"before kill 1 of seed {SEED}: {what}"]
