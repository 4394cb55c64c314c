"""What the terminal client writes: files that were sent to it, what was typed, tokens."""

import asyncio
import hashlib
import os
import stat
from pathlib import Path

import pytest

from app.terminal.files.filenames import NAME_BYTES_MAX, reserve, safe_name
from app.terminal.files.files import Files, what_to_send
from app.terminal.files.transfers import Server, TransferFailed, download, upload
from app.terminal.memory import InputHistory, Tokens

PIECE = 64 << 10


# Whatever a file is called, its name is one part, plain to see, and not too long.
@pytest.mark.parametrize(
    ("name", "safe"),
    [
        *((name, name) for name in ("report.pdf", "héllo 火锅.txt", "~")),
        ("../x", "x"),
        *((name, "passwd") for name in ("../../etc/passwd", "/etc/passwd")),
        ("C:\\Windows\\evil.exe", "evil.exe"),
        ("folder/", "folder"),
        (".bashrc", "bashrc"),
        *((name, "file") for name in ("...", "..", "", "/")),
        ("-rf", "rf"),
        ("con.txt", "_con.txt"),
        ("a\nb\x1b[2J\x00c", "a b[2Jc"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u2066a\u200bb", "ab"),
        ("a$(x)`y`;&z.txt", "a_(x)_y___z.txt"),
        ("trailing. . ", "trailing"),
        ("a" * 300 + ".pdf", "a" * (NAME_BYTES_MAX - 4) + ".pdf"),
        ("火" * 100 + ".pdf", "火" * ((NAME_BYTES_MAX - 4) // 3) + ".pdf"),
        ("a" + "." + "b" * 300, "a." + "b" * (NAME_BYTES_MAX - 2)),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


# A path is taken as shells and file managers write it.
def test_paths_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "my report (1)'s.pdf"
    path.touch()
    (tmp_path / "to bob").touch()
    escaped = str(path).translate({ord(c): f"\\{c}" for c in " ()'"})
    for text in (str(path), f'"{path}"', escaped, path.as_uri(), f"~/{path.name}", f" {path} "):
        assert what_to_send(text, "den") == (path, {"room": "den"}), text
        assert what_to_send(f"{text} to bob", "den") == (path, {"user": "bob"}), text
    assert what_to_send(f"{tmp_path}/to bob", "den") == (tmp_path / "to bob", {"room": "den"})
    with pytest.raises(TransferFailed, match="is a folder; pack it first: tar czf"):
        what_to_send(str(tmp_path), "den")
    for text in ("'half a quote", "file://[half an address"):
        with pytest.raises(TransferFailed, match="there is no file"):
            what_to_send(text, "den")
    for text in ("~unknown/a", "~unknown/a to bob", "'~unknown/a'"):
        with pytest.raises(TransferFailed, match=r"^~unknown is nobody's home folder"):
            what_to_send(text, "den")


# A name that is taken, even by a link that leads nowhere, is left as it is, and the next is used.
def test_nothing_is_overwritten(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "a.txt").write_text("old")
    (folder / "a (2).txt").symlink_to(outside)
    assert reserve(folder, "../a.txt") == folder / "a (3).txt"
    assert (folder / "a.txt").read_text() == "old"
    assert not outside.exists()


def fetch(http, folder: Path, data: bytes, name: str = "a.bin", progress=lambda *_: None) -> Path:
    digest = hashlib.sha256(data).hexdigest()
    return download(http.server, "/f/a", folder, name, len(data), digest, progress)


# A file arrives as it was sent, in either direction, whatever its size; the progress ends at it.
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 10 * PIECE])
def test_a_file_arrives_whole(http, tmp_path: Path, size: int) -> None:
    data, seen = os.urandom(size), []
    (tmp_path / "a.bin").write_bytes(data)
    upload(http.server, "/f/a", tmp_path / "a.bin", lambda *done: seen.append(done))
    assert http.files["/f/a"] == data
    folder = tmp_path / "downloads"
    path = fetch(http, folder, data, progress=lambda *done: seen.append(done))
    assert path == folder / "a.bin"
    assert path.read_bytes() == data
    assert seen[-1:] == ([(size, size)] if size else [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in folder.iterdir()] == ["a.bin"]


# A file that comes damaged, longer or cut off is not kept at all, and it is said.
@pytest.mark.parametrize("spoil", [lambda d: d[:-1] + b"?", lambda d: d + b"?", lambda d: d[:-1]])
def test_a_damaged_file_is_not_kept(http, tmp_path: Path, spoil) -> None:
    http.files["/f/a"], http.spoil = b"x" * 1000, staticmethod(spoil)
    with pytest.raises(TransferFailed):
        fetch(http, tmp_path, b"x" * 1000)
    assert not list(tmp_path.iterdir())


# Whoever sends a file hears when another one arrived, and why one was refused.
def test_a_failed_upload_is_told(http, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (4 << 20))
    with pytest.raises(TransferFailed, match=r"413.*too large|connection failed"):
        upload(http.server, "/f/refused", path, lambda *_: None)
    http.spoil = staticmethod(lambda data: data[:-1])
    with pytest.raises(TransferFailed, match="changed on its way"):
        upload(http.server, "/f/a", path, lambda *_: None)
    with pytest.raises(TransferFailed, match=r"404.*no such file"):
        download(http.server, "/f/none", tmp_path, "a", 1, "", lambda *_: None)
    with pytest.raises(TransferFailed, match="connection failed"):
        upload(Server("127.0.0.1:1"), "/f/a", path, lambda *_: None)


class _Told:
    """The server's answers, and what it was asked; what the files show of their progress."""

    def __init__(self, **answers: object) -> None:
        self.answers, self.asked, self.shown = answers, [], []

    async def call(self, op: str, **fields: object) -> dict:
        self.asked.append((op, fields))
        return self.answers

    def files(self, http, folder: Path) -> Files:
        return Files(self.call, http.server, folder, self.shown.append)


# What is sent goes to the room, or to one user; a file may have any name, also one with " to ".
@pytest.mark.parametrize(
    ("typed", "whom"),
    [
        ("{}/a b", {"room": "dev"}),
        ("{}/a b to bob", {"user": "bob"}),
        ("{}/a to b to bob", {"user": "bob"}),
        ("{}/a to b", {"room": "dev"}),
    ],
)
def test_sending(http, tmp_path: Path, typed: str, whom: dict) -> None:
    for name in ("a b", "a to b"):
        (tmp_path / name).write_bytes(b"data")
    told = _Told(url="/f/a")
    sentence = asyncio.run(told.files(http, tmp_path).send(typed.format(tmp_path), "dev"))
    name = "a b" if "a b" in typed else "a to b"
    assert told.asked == [("file.offer", {"name": name, "size": 4, **whom})]
    assert sentence == f"{name} is sent, and arrived whole."
    assert http.files["/f/a"] == b"data"


# What is fetched lands in the folder, whatever its name says; the progress is told.
def test_getting(http, tmp_path: Path) -> None:
    http.files["/f/a"] = b"data"
    digest = hashlib.sha256(b"data").hexdigest()
    told = _Told(url="/f/a", name="../../.bashrc\x1b[2J", size=4, sha256=digest)

    async def get() -> str:
        sentence = await told.files(http, tmp_path / "downloads").get(17)
        await asyncio.sleep(0)  # the thread's last word comes with the loop's next turn
        return sentence

    path = tmp_path / "downloads" / "bashrc[2J"
    assert asyncio.run(get()) == f"{path} is here, and whole."
    assert path.read_bytes() == b"data"
    assert told.shown[-1].endswith("██████████ 100%")


# What can't be sent is not offered; and a server can't send us anywhere but to its own files.
def test_transfers_that_do_not_begin(http, tmp_path: Path) -> None:
    told = _Told(url="http://evil/f/a", name="a", size=1, sha256="")
    files = told.files(http, tmp_path)
    for typed, room in ((f"{tmp_path}/none", "dev"), (str(tmp_path), "dev"), (__file__, "")):
        with pytest.raises(TransferFailed):
            asyncio.run(files.send(typed, room))
    assert not told.asked
    with pytest.raises(TransferFailed, match="does not say where"):
        asyncio.run(files.get(1))
    told.answers["size"] = "large"
    with pytest.raises(TransferFailed, match="does not say how large"):
        asyncio.run(files.get(1))
    files.close()
    http.files["/f/a"] = b"data"
    told.answers |= {"url": "/f/a", "size": 4}
    with pytest.raises(TransferFailed, match="the program ended"):
        asyncio.run(files.get(1))
    assert not list(tmp_path.iterdir())


# Lines are remembered for the next run, in a file of the user alone; passwords never.
def test_what_was_typed_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = InputHistory(path)
    secret = ("/passwd old new", " /PASSWD old new", "/login me pw", "a\n/passwd old new")
    for line in ("hello", "/join lobby", *secret):
        history.append_string(line)
    history.append_string("/paswd old new")  # of this run alone: nobody knows what it was to be
    assert history.get_strings() == ["hello", "/join lobby", "/paswd old new"]
    assert list(InputHistory(path).load_history_strings()) == ["/join lobby", "hello"]
    assert not {"old", "pw"} & set(path.read_text().split())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Of a long history, the newest thousand lines are kept.
def test_the_history_is_bounded(tmp_path: Path) -> None:
    history = InputHistory(tmp_path / "history")
    for number in range(1010):
        history.append_string(f"line {number}")
    lines = list(InputHistory(tmp_path / "history").load_history_strings())
    assert (lines[0], lines[-1], len(lines)) == ("line 1009", "line 10", 1000)


# A token is found again for its server and its user, for a line that is as safe as the one it came
# by, in a file of the user alone, until forgotten.
def test_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    Tokens(path).keep("127.0.0.1:8888", "alice", "s3cret")
    Tokens(path).keep("other:1", "bob", "t0ken")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tokens = Tokens(path)
    assert tokens.find("127.0.0.1:8888") == ("alice", "s3cret")
    assert tokens.find("127.0.0.1:8888", "alice") == ("alice", "s3cret")
    assert tokens.find("127.0.0.1:8888", "carol") is None
    assert tokens.forget("127.0.0.1:8888")
    assert not tokens.forget("127.0.0.1:8888")
    assert tokens.find("other:1") == ("bob", "t0ken")
    tokens.keep("chat:1", "bob", "t0ken", safety=1)
    assert [bool(tokens.find("chat:1", safety=each)) for each in range(3)] == [False, True, True]
    path.write_text("[damaged")
    assert tokens.find("other:1") is None
