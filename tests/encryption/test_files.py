"""Encrypted files: whole and unchanged, or not at all."""

import pytest

from app.encryption import FileOpener, FileReference, FileSealer, sealed_bytes
from app.encryption.attachments import CHUNK_BYTES, TAG_BYTES
from app.encryption.refusals import FileDamaged

_SEALED = CHUNK_BYTES + TAG_BYTES


def _seal(data, part_bytes=CHUNK_BYTES):
    sealer = FileSealer()
    parts = [data[i : i + part_bytes] for i in range(0, len(data), part_bytes)]
    return b"".join(sealer.seal(parts)), sealer.reference(5, "plan.txt", "text/plain")


def _open(sealed, reference, part_bytes=100_000):
    parts = [sealed[i : i + part_bytes] for i in range(0, len(sealed), part_bytes)]
    return b"".join(FileOpener(reference).open(parts))


# Files of every length come back, in whatever parts they come and go.
@pytest.mark.parametrize(
    "size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 200_000]
)
def test_lengths(size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    for part_bytes in (CHUNK_BYTES, 10_007):
        sealed, reference = _seal(data, part_bytes)
        assert len(sealed) == sealed_bytes(size)
        assert reference.size == size
        assert _open(sealed, reference, part_bytes) == data
        assert len(data) < 100 or data[:100] not in sealed


# Two files of the same bytes have nothing in common.
def test_each_file_has_a_key():
    assert _seal(b"same")[0] != _seal(b"same")[0]


# What was done to the chunks of a file, and how many of them may be believed until it is noticed.
CHANGES = {
    "truncated": (lambda c: c[:-1], 1),
    "shortened": (lambda c: [*c[:-1], c[-1][:-1]], 2),
    "emptied": (lambda c: [], 0),
    "swapped": (lambda c: [c[1], c[0], *c[2:]], 0),
    "repeated": (lambda c: [c[0], c[0], *c[1:]], 1),
    "doubled": (lambda c: [*c, c[-1]], 2),
    "appended": (lambda c: [*c, b"more"], 2),
    "flipped": (lambda c: [c[0], c[1][:-1] + bytes([c[1][-1] ^ 1]), *c[2:]], 1),
    "flipped-end": (lambda c: [*c[:-1], bytes([c[-1][0] ^ 1]) + c[-1][1:]], 2),
}


# Whatever was cut off, moved, repeated, added or changed is noticed at that chunk, by its seal; so
# is an early end.
@pytest.mark.parametrize(("change", "believed"), CHANGES.values(), ids=CHANGES)
def test_changed_files(change, believed):
    sealed, reference = _seal(b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES + b"c" * 10)
    chunks = [sealed[i : i + _SEALED] for i in range(0, len(sealed), _SEALED)]
    opened = []
    with pytest.raises(FileDamaged, match=r"plan\.txt"):
        opened.extend(FileOpener(reference).open([b"".join(change(chunks))]))
    assert b"".join(opened) == (b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES)[: sum(map(len, opened))]
    assert sum(map(len, opened)) <= believed * CHUNK_BYTES


# What is said of a file in its message has to be so.
@pytest.mark.parametrize("change", [{"sha256": "A" * 43}, {"size": 4}, {"key": "A" * 43}])
def test_a_false_reference(change):
    sealed, reference = _seal(b"hello")
    with pytest.raises(FileDamaged):
        _open(sealed, reference.model_copy(update=change))


# A file travels in a message, with a name that no disk and no screen has to fear.
@pytest.mark.parametrize(
    ("name", "shown"),
    [("plan.txt", "plan.txt"), ("../../.bashrc", "bashrc"), ("\x1b[2J", "[2J"), ("..", "file")],
)
def test_a_file_in_a_message(server, alice, bob, name, shown):
    sealer = FileSealer()
    sealed = b"".join(sealer.seal([b"the plan"]))
    reference = sealer.reference(42, "x", "x").model_copy(  # by a client that does not care
        update={"name": name, "type": "text/plain\x1b"}
    )
    alice.act(alice.device.say_file("den", reference, server.now))
    file = bob.shown[0].file
    assert (bob.shown[0].kind, file.id, file.name, file.type) == ("file", 42, shown, "text/plain�")
    assert _open(sealed, file) == b"the plan"


# What a disk calls a file can be told to others, whatever it is.
@pytest.mark.parametrize("name", ["\udcff.txt", "x" * 5_000, "a\nb", ""])
def test_odd_names_of_files(name):
    reference = FileSealer().reference(1, name, "y" * 500)
    assert FileReference.model_validate_json(reference.dump()) == reference
