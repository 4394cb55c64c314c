"""What a backup may hold: rows that no server has written are named, and nothing is restored."""

from contextlib import closing
from pathlib import Path
from shutil import copy
from unittest.mock import Mock

import pytest

from app.archive import backup
from app.bounds import ID_MAX, MESSAGE_IDS_SKIPPED
from app.database.database import reading_engine
from app.errors import StartRefused
from app.queries.messages import mail, newest
from tests.kit.databases import change, rows

_HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ"
_ROWS = f"""
INSERT INTO users (id, name, key, skeleton, password_hash, is_admin, is_disabled, private_seen_id,
  created_at) VALUES (1, 'Alice', 'alice', 'alice', '{_HASH}', 0, 0, 0, 0);
INSERT INTO users (id, name, key, skeleton, password_hash, is_admin, is_disabled, private_seen_id,
  created_at, deleted_at) VALUES (2, 'bob', 'bob', 'bob', '', 0, 1, 0, 0, 1);
INSERT INTO rooms (id, name, key, skeleton, topic, owner_id, created_at, deleted_at)
  VALUES (1, 'lobby', 'lobby', 'lobby', 'talk', 1, 0, NULL),
  (2, 'old', '(deleted 2)', '(deleted 2)', '', 2, 0, 1);
INSERT INTO messages (id, room_id, recipient_id, user_id, is_action, body, said_at, sender_device)
  VALUES (1, 1, NULL, 1, 0, 'tab\tand \u00e9\u200b\U0001f600', 1, NULL),
  (2, NULL, 1, 2, 0, 'psst', 2, NULL),
  (3, 1, NULL, 1, 0, '{{"alg":"a","sid":"s","ct":"c"}}', 3, 'D');
INSERT INTO files (id, room_id, user_id, name, size, sha256, made_at)
  VALUES (1, 1, 1, 'a.txt', 1, x'00', 0);
INSERT INTO devices (id, user_id, device_id, ed25519, curve25519, payload, sig, made_at, seen_at)
  VALUES (1, 1, 'abcdefgh', 'a', 'b', '\u202e', '\u202e', 0, 0);
INSERT INTO to_device (id, recipient_id, sender_id, txn, place, body, sent_at)
  VALUES (1, 1, 1, 't', 0, '\u202e\u2066', 0);
INSERT INTO sanctions VALUES ('ban', 1, 2, 1, 'spam', 0, 1);
INSERT INTO server_sanctions (kind, network, reason, made_at) VALUES ('ban', '10.0.0.0/8', '', 0);
"""


@pytest.fixture
def file(tmp_path, new_database, monkeypatch) -> Path:
    """A database of the newest revision, with rows such as a server writes."""
    monkeypatch.setattr(backup, "_migrate", lambda path, _: copy(new_database, path))
    path = Path(copy(new_database, tmp_path / "a.db"))
    change(path, _ROWS)
    return path


def _restore(path: Path) -> Path:
    database = path.with_name("greenroom.db")
    backup.restore(f"sqlite:///{database}", path, Mock(), 0, keeps_tokens=True)
    return database


_TIMES = {
    **dict.fromkeys(("users", "rooms"), "created_at"),
    **dict.fromkeys(("files", "server_sanctions"), "made_at"),
    "messages": "said_at",
    "sanctions": "until_at",
}
_TEXTS = {
    "messages": ("body", "txn"),
    "rooms": ("topic", "name"),
    "users": ("name", "key"),
    "files": ("name",),
    **dict.fromkeys(("sanctions", "server_sanctions"), ("reason",)),
}
_BAD_TEXTS = (
    *(
        "char(27) || '[2Jhello'",
        "'a' || char(10) || 'b'",
        "'a' || char(0) || char(27)",
        "char(155)",
    ),
    *("'a' || char(8238)", "x'61'", "CAST(x'ff61' AS TEXT)", "printf('%.*c', 1048577, 'x')"),
)
HARMS = [
    *(
        (table, column, f"UPDATE {table} SET {column} = {value}")
        for table, column in _TIMES.items()
        for value in ("99999999999999999", "-1", "1.5", "'soon'")
    ),
    *(
        (table, column, f"UPDATE {table} SET {column} = {value} WHERE rowid = 1")
        for table, columns in _TEXTS.items()
        for column in columns
        for value in _BAD_TEXTS
    ),
    ("messages", "id", f"UPDATE messages SET id = {ID_MAX} WHERE id = 1"),
    ("messages", "id", "UPDATE messages SET id = -1 WHERE id = 1"),
    ("messages", "body", "UPDATE messages SET sender_device = 'D' WHERE id = 1"),
    ("messages", "is_action", "UPDATE messages SET is_action = 7"),
    ("messages", "no row", "UPDATE messages SET user_id = 77 WHERE id = 1"),
    ("messages", "no row", "UPDATE messages SET room_id = 77 WHERE id = 1"),
    ("users", "name", "UPDATE users SET name = 'a b' WHERE id = 1"),
    ("users", "name", "UPDATE users SET key = 'other' WHERE id = 1"),
    ("users", "password_hash", "UPDATE users SET password_hash = '$1$secret' WHERE id = 1"),
    (
        "users",
        "password_hash",
        "UPDATE users SET password_hash = replace(password_hash, 'm=8', 'm=99999999')",
    ),
    ("rooms", "retention_days", "UPDATE rooms SET retention_days = 99999999"),
    ("server_sanctions", "network", "UPDATE server_sanctions SET network = '10.0.0.1/8'"),
    ("files", "sha256", "UPDATE files SET sha256 = 'abc'"),
    ("alembic_version", "several rows", "INSERT INTO alembic_version VALUES ('0001')"),
    ("messages", "last id", f"UPDATE sqlite_sequence SET seq = {ID_MAX} WHERE name = 'messages'"),
]


# A row that no server has written is named, without what stands in it, and nothing is restored.
@pytest.mark.parametrize(("table", "what", "harm"), HARMS, ids=[harm for *_, harm in HARMS])
def test_values_that_no_server_writes(file: Path, table: str, what: str, harm: str) -> None:
    change(file, harm)
    with pytest.raises(StartRefused) as refused:
        _restore(file)
    sentence = str(refused.value)
    assert table in sentence
    assert {"no row": "not there"}.get(what, what) in sentence or "UTF-8" in sentence
    assert sentence.isprintable()
    assert not file.with_name("greenroom.db").exists()


# What a server has written is restored; a number of the last id that is too small is set right.
def test_values_that_servers_write(file: Path) -> None:
    change(file, "UPDATE sqlite_sequence SET seq = 0")
    database = _restore(file)
    last_id = rows(database, "SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
    assert last_id == [(3 + MESSAGE_IDS_SKIPPED,)]
    assert rows(database, "SELECT after_id FROM restorations") == [(3,)]


# Whatever a database holds, what is read from it can be shown, and moves nobody's cursor.
def test_what_is_read_can_be_shown(file: Path) -> None:
    change(
        file,
        "UPDATE messages SET said_at = 99999999999999999, body = char(27) || 'a' || char(10)"
        " WHERE sender_device IS NULL",
    )
    engine = reading_engine(file)
    with closing(engine.connect()) as connection:
        said = [newest(connection, 1, 9)[0], mail(connection, 1, 0, 9, 9)[0]]
    engine.dispose()
    assert [each.body for each in said] == ["\ufffda\ufffd"] * 2
    assert all(0 <= each.at < 1 << 48 for each in said)
