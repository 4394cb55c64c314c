"""The control socket: who may ask there, and what manage.py says when it can't be asked."""

import json
import shutil
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import gevent
import pytest
from gevent import socket as gevent_socket

from app.chat.accounts import administration
from app.cli import asking
from app.client.connection import Connection
from app.client.stream import Stream
from app.errors import StartRefused
from app.net import control
from app.settings import Settings
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.fakes import fake_room, fake_session
from tests.kit.server_process import ServerProcess, manage


def _says(run_here, folder: Path, *arguments: str) -> str:
    """Run a command that can't do its work, and return the one line that says why."""
    result = run_here(folder, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").strip()


# Nobody else on the machine can open the socket, the database, or the folder that they are in.
def test_nobody_else_can_open_it(server: ServerProcess) -> None:
    folder = server.folder / "var"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes.pop("control.sock") == 0o600
    assert set(modes.values()) == {0o600}, modes


# Somebody else who opens it all the same is seen by the kernel, told nothing, and put on record.
def test_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(control, "_user_id_of", lambda _: 12345)
    asked = control.Control(path, None, Settings(data_dir=tmp_path))
    asked.start()
    with (
        gevent.Timeout(WAIT_SECONDS_MAX),
        closing(gevent_socket.socket(socket.AF_UNIX)) as stranger,
    ):
        stranger.connect(str(path))
        assert stranger.recv(100) == b""
    asked.stop()
    assert not path.exists()


# Who asks is told by the kernel.
def test_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = gevent_socket.socketpair()
    with closing(ours), closing(theirs):
        assert control._user_id_of(ours) == tmp_path.stat().st_uid


# What a killed server leaves behind is in nobody's way: no command's, nor the next server's. So it
# is where the path is longer than a Unix socket's address can be.
def test_after_a_crash(start_server: Callable[..., ServerProcess], run_here) -> None:
    server = start_server("/".join(["deep" * 10] * 5))
    server.connect().register("alice")
    server.kill()
    assert (server.folder / "var" / "control.sock").exists()
    assert run_here(server.folder, "users", "list").stdout.startswith("alice\t\t")
    assert run_here(server.folder, "audit").exit_code == 0
    server.start()
    assert run_here(server.folder, "users", "disable", "alice").exit_code == 0
    assert server.stop() == 0
    assert not (server.folder / "var" / "control.sock").exists()
    assert run_here(server.folder, "users", "list").stdout.startswith("alice\tdisabled\t")


# A second server on another database does not take the socket of the first.
def test_a_second_server(server: ServerProcess, run_here) -> None:
    other = f"sqlite:///{server.folder / 'other.db'}"
    refused = manage(server.folder, "runserver", "0", DATABASE_URL=other)
    folder = server.folder / "var"
    assert refused.returncode == 1
    assert refused.stderr.endswith(
        f"Error: another Greenroom runs in {folder}; stop that one first\n"
    )
    assert run_here(server.folder, "who").exit_code == 0


# A server that has the database but not the socket of these settings is not worked around, and
# nobody is told that none runs.
@pytest.mark.parametrize("arguments", [("users", "list"), ("status", "--check"), ("who",)])
def test_another_socket(
    server: ServerProcess, run_here, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    url = f"sqlite:///{server.folder / 'var' / 'greenroom.db'}"
    result = run_here(tmp_path, *arguments, DATABASE_URL=url)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a server has the database, but ")


# A file that is no socket, or is another program's, is left where it is, and said to be in the way.
def test_what_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "control.sock").mkdir()
    with pytest.raises(StartRefused, match=r"can't make .*control.sock"):
        control.Control(tmp_path / "control.sock", None, Settings(data_dir=tmp_path))


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[Callable[[bytes], None]]:
    """Return what puts something else in a server's place, which sends bytes and hangs up."""
    folder = tmp_path / "var"
    folder.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "control.sock"))
    listener.listen()
    threads = []

    def answer(data: bytes) -> None:
        def serve() -> None:
            with listener.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(data)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()

    yield answer
    for thread in threads:
        thread.join()
    listener.close()


_UNKNOWN = {"id": 1, "ok": False, "error": "unknown_command", "message": "there is no op"}


# A server that hangs up, is of another version, or none of ours, is told of in one line.
@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"", "the server did not answer: the server hung up"),
        (b'{"id":1,"ok":tr', "the server did not answer: the server hung up"),
        (
            b'{"event":"notice","sentence":"The server is shutting down."}\n',
            "the server did not answer: the server hung up",
        ),
        (
            json.dumps(_UNKNOWN).encode() + b"\n",
            "the server that runs is of another version, and does not know this; restart it",
        ),
        (b"SSH-2.0-x\n", "the server did not answer: what answers there is no Greenroom"),
    ],
    ids=["nothing", "half", "notice", "version", "ssh"],
)
def test_a_server_that_does_not_answer(
    stand_in, run_here, tmp_path: Path, sent: bytes, sentence: str
) -> None:
    stand_in(sent)
    assert _says(run_here, tmp_path, "users", "list") == sentence


# A server that hangs is not waited for, whatever it is asked; and what was given up it does not do
# when it goes on.
def test_a_server_that_hangs(
    server: ServerProcess, run_here, new_name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_HALF_SECONDS", 0.2)
    name, room = new_name("late"), new_name("room")
    with server.held():
        for arguments in (
            ("status",),
            ("status", "--check"),
            ("who",),
            ("users", "list"),
            ("createuser", name, "--password", "secret"),
            ("rooms", "create", room, "--owner", name),
            ("shutdown",),
        ):
            sentence = _says(run_here, server.folder, *arguments)
            assert sentence.startswith("the server does not answer: it hangs, or was stopped")
    assert run_here(server.folder, "who").exit_code == 0
    assert f"{name}\t" not in run_here(server.folder, "users", "list").stdout
    assert run_here(server.folder, "rooms", "list").stdout.count(room) == 0


# One that is busy with what it was asked is waited for, as long as it answers elsewhere.
def test_a_server_that_is_busy(tmp_path: Path) -> None:
    path, looks = tmp_path / "sock", []
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()

        def look() -> None:
            looks.append(1)
            if len(looks) == 3:
                server.sendall(b'{"id":1,"ok":true}\n')

        connection = Connection(
            f"unix:{path}", None, asking._Unheard(), silence_seconds=0.01, check_is_alive=look
        )
        with listener.accept()[0] as server:
            assert connection.exchange("vacuum")["ok"]
    assert len(looks) == 3
    connection.close()


# A server of somebody else is told nothing: not a name, and no password.
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the kernel does not say who it is")
def test_a_server_of_somebody_else(run_here, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "var").mkdir(mode=0o700)
    path = tmp_path / "var" / "control.sock"
    monkeypatch.setattr(Stream, "peer_user_id", lambda _: 12345)
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        said = _says(run_here, tmp_path, "createuser", "alice", "--password", "secret", "--admin")
        assert said.startswith(f"a program of another user listens at {path}; ")
        with listener.accept()[0] as asked:
            assert asked.recv(100) == b""


# Who listens is told by the kernel.
@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the kernel does not say who it is")
def test_who_listens(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        stream = Stream(f"unix:{path}", None)
        assert stream.peer_user_id() == path.stat().st_uid
        stream.close()


# Over a socket of IPv6, who comes by IPv4 is known by that address everywhere.
def test_ipv4_at_a_socket_of_ipv6(tmp_path: Path, run_here) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("there is no IPv6 here")
    server = ServerProcess(tmp_path, LOGIN_ATTEMPTS="1")
    server.port = "[::]:0"
    try:
        server.start()
        alice = server.connect().register("alice").join("room")
        assert server.program().refused("login", name="alice", password="x") == "login_refused"
        listed = json.loads(run_here(tmp_path, "who", "--json").stdout.splitlines()[0])
        assert listed["address"] == "127.0.0.1"
        alice.type("/send x")
        alice.expect(f"curl -T x http://127.0.0.1:{server.port}/f/")
        assert run_here(tmp_path, "ban", "127.0.0.1").exit_code == 0
        assert alice.expect_end().endswith("Error: your address is banned from this server\r\n")
        assert "ffff" not in server.log
    finally:
        server.kill()


# What can only be asked of a server is refused where none runs.
@pytest.mark.parametrize(
    "arguments", [("who",), ("announce", "hello"), ("shutdown",), ("shutdown", "--cancel")]
)
def test_nothing_to_ask(run_here, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    sentence = f"no server runs on {tmp_path / 'var'}; start one: manage.py runserver"
    assert _says(run_here, tmp_path, *arguments) == sentence
    assert list(tmp_path.iterdir()) == []


# Who is connected is listed, as a table, and whole as JSON; passwords are in neither, nor in logs.
def test_who(server: ServerProcess, run_here, new_name) -> None:
    name, room = new_name("alice"), new_name("room")
    server.connect().register(name).join(room)
    server.program().call("ping")
    listed = [
        json.loads(line)
        for line in run_here(server.folder, "who", "--json").stdout.split("\n")[:-1]
    ]
    alice = next(each for each in listed if each["user"] == name)
    assert (alice["wire"], alice["rooms"], alice["unread_bytes"]) == ("text", [room], 0)
    assert (listed[-1]["wire"], listed[-1]["user"]) == ("ndjson", None)
    shown = run_here(server.folder, "who").stdout.splitlines()
    assert [line.split("\t")[0] for line in shown] == [str(each["number"]) for each in listed]


# Lists are whole however long they are, and come a page at a time.
def test_long_lists(run_here, tmp_path: Path, new_database: Path) -> None:
    (tmp_path / "var").mkdir()
    shutil.copy(new_database, tmp_path / "var")
    numbered = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) "
    with closing(sqlite3.connect(tmp_path / "var" / "greenroom.db")) as database:
        database.execute(
            "INSERT INTO users (name, key, skeleton, password_hash, is_admin, is_disabled, "
            f"private_seen_id, created_at) {numbered} "
            "SELECT 'u' || i, 'u' || i, 'u' || i, '', 0, 0, 0, 0 FROM n"
        )
        database.execute(
            "INSERT INTO rooms (name, key, skeleton, topic, owner_id, created_at) "
            f"{numbered} SELECT 'r' || i, 'r' || i, 'r' || i, '', 1, 0 FROM n"
        )
        database.commit()
    for words, letter in (("users", "u"), ("rooms", "r")):
        lines = run_here(tmp_path, words, "list").stdout.splitlines()
        names = sorted(f"{letter}{number}" for number in range(1, 1002))
        assert [line.split("\t")[0] for line in lines] == names


# Of sessions there is never so much in a page that it could not be read.
def test_pages_of_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "REPLAY_BYTES_MAX", 10)
    sessions = [fake_session(f"user{number}") for number in range(5)]
    for number, session in enumerate(sessions):
        session.number = number
        session.rooms = {"lobby": fake_room()}
    shown = list(administration._up_to_a_page(sessions, sessions[0]))
    assert [each.number for each in shown] == [0, 1, 2]
    assert [each.is_this for each in shown] == [True, False, False]


# A planned shutdown comes when it was planned for, with everybody told; it is as clean as any.
def test_a_planned_shutdown(start_server: Callable[..., ServerProcess], run_here) -> None:
    server = start_server()
    alice = server.connect().register("alice")
    result = run_here(server.folder, "shutdown", "--in", "1s", "new disk")
    assert result.stdout == "The server shuts down in 1 second.\n"
    alice.expect_lines(
        "The server shuts down in 1 second: new disk",
        "The server is shutting down. Goodbye.",
    )
    alice.close()
    assert server.process.wait(WAIT_SECONDS_MAX) == 0
    shown = run_here(server.folder, "audit").stdout.split("\t", 1)[1]
    assert shown == "(operator)\tshutdown\tin 1 second\t\tnew disk\n"


# What is no span is refused as bad usage, before anybody is asked.
@pytest.mark.parametrize("span", ["soon", "5", "99999d"])
def test_a_bad_span(run_here, tmp_path: Path, span: str) -> None:
    assert run_here(tmp_path, "shutdown", "--in", span).exit_code == 2
