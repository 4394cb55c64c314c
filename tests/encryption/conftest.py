"""A server in memory, and the two people who are in nearly every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.encryption.flows import Json
from tests.encryption.fakes import Chat, Server


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make few keys, and do not wait for the disk: test_store.py sees what is the default."""
    monkeypatch.setattr("app.encryption.olm.ONE_TIME_KEYS", 10)
    monkeypatch.setattr("app.encryption.owndevices._ONE_TIME_KEYS_LOW", 5)
    monkeypatch.setattr("app.encryption.store._SYNCHRONOUS", "OFF")
    monkeypatch.setattr("app.encryption.store.os.fsync", lambda descriptor: None)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with an encrypted room of alice and bob."""
    server = Server()
    server.room("den", "alice", "bob")
    yield server
    server.close()


@pytest.fixture
def alice(server: Server, tmp_path: Path) -> Chat:
    return Chat(server, "alice", tmp_path)


@pytest.fixture
def bob(server: Server, tmp_path: Path) -> Chat:
    return Chat(server, "bob", tmp_path)


@pytest.fixture
def message(server: Server, alice: Chat, bob: Chat) -> Json:
    """A message from alice that bob has read."""
    alice.say("hello bob")
    assert bob.texts == ["hello bob"]
    return server.messages[0]
