"""The control socket: who may ask there, and what manage.py says when it can't be asked."""

import json
import socket
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from tests.kit.commands import refused, said
from tests.kit.databases import insert
from tests.kit.fakes import fake_room, fake_session
from tests.kit.server_process import ServerProcess, manage


# Nobody else on the machine can open the socket, the database, or the folder that they are in.
def test_nobody_else_can_open_it(server) -> None:
    folder = server.folder / "var"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes.pop("control.sock") == 0o600
    assert set(modes.values()) == {0o600}, modes


# Somebody else who opens it all the same is seen by the kernel, told nothing, and put on record.
def test_somebody_else(tmp_path, monkeypatch) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(control, "_user_id_of", lambda _: 12345)
    asked = control.Control(path, None, Settings(data_dir=tmp_path))
    asked.start()
    opened = gevent_socket.socket(socket.AF_UNIX)
    with gevent.Timeout(WAIT_SECONDS_MAX), closing(opened) as stranger:
        stranger.connect(str(path))
        assert stranger.recv(100) == b""
    asked.stop()
    assert not path.exists()


# Who asks is told by the kernel.
def test_who_asks(tmp_path, monkeypatch) -> None:
    ours, theirs = gevent_socket.socketpair()
    with closing(ours), closing(theirs):
        assert control._user_id_of(ours) == tmp_path.stat().st_uid


# What a killed server leaves behind is in nobody's way: no command's, nor the next server's. So it
# is where the path is longer than a Unix socket's address can be.
def test_after_a_crash(start_server, run_here) -> None:
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
def test_a_second_server(server, run_here) -> None:
    other = f"sqlite:///{server.folder / 'other.db'}"
    told = manage(server.folder, "runserver", "0", DATABASE_URL=other)
    folder = server.folder / "var"
    assert told.returncode == 1
    assert told.stderr.endswith(f"another Greenroom runs in {folder}; stop that one first\n")
    assert run_here(server.folder, "who").exit_code == 0


# A server that has the database but not the socket of these settings is not worked around, and
# nobody is told that none runs.
@pytest.mark.parametrize("words", ["users list", "status --check", "who"])
def test_another_socket(server, run_here, tmp_path, words: str) -> None:
    url = f"sqlite:///{server.folder / 'var' / 'greenroom.db'}"
    told = run_here(tmp_path, *words.split(), DATABASE_URL=url)
    assert told.exit_code == 1
    assert told.stderr.startswith("Error: a server has the database, but ")


# A file that is no socket, or is another program's, is left where it is, and said to be in the way.
def test_what_is_no_socket(tmp_path) -> None:
    (tmp_path / "control.sock").mkdir()
    with pytest.raises(StartRefused, match=r"can't make .*control.sock"):
        control.Control(tmp_path / "control.sock", None, Settings(data_dir=tmp_path))


@pytest.fixture
def path(tmp_path) -> Path:
    """Where the control socket of a server is, or what stands in for one."""
    (tmp_path / "var").mkdir(mode=0o700)
    return tmp_path / "var" / "control.sock"


@pytest.fixture
def stand_in(path: Path) -> Iterator[socket.socket]:
    """What listens in a server's place."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


needs_peers = pytest.mark.skipif(
    not hasattr(socket, "SO_PEERCRED"), reason="the kernel does not say who it is"
)


HALF_ANSWERS = (
    *(b"", b'{"id":1,"ok":tr'),
    b'{"event":"notice","sentence":"The server is shutting down."}\n',
)


# A server that hangs up, is of another version, or none of ours, is told of in one line.
@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        *((sent, "the server did not answer: the server hung up") for sent in HALF_ANSWERS),
        (
            b'{"id":1,"ok":false,"error":"unknown_command","message":"there is no op"}\n',
            "the server that runs is of another version, and does not know this; restart it",
        ),
        (b"SSH-2.0-x\n", "the server did not answer: what answers there is no Greenroom"),
    ],
    ids=["nothing", "half", "notice", "version", "ssh"],
)
def test_a_server_that_does_not_answer(stand_in, run_here, tmp_path, sent, sentence: str) -> None:
    def serve() -> None:
        with stand_in.accept()[0] as connection:
            connection.recv(4096)
            connection.sendall(sent)

    with ThreadPoolExecutor(1) as thread:
        served = thread.submit(serve)
        assert refused(run_here(tmp_path, "users", "list")) == sentence
        served.result()


# A server that hangs is not waited for, whatever it is asked; and what was given up it does not do
# when it goes on.
def test_a_server_that_hangs(server, run_here, new_name, monkeypatch) -> None:
    monkeypatch.setattr(asking, "_HALF_SECONDS", 0.2)
    name, room = new_name("late"), new_name("room")
    with server.held():
        for arguments in (
            *(("status",), ("status", "--check"), ("who",), ("users", "list"), ("shutdown",)),
            ("createuser", name, "--password", "secret"),
            ("rooms", "create", room, "--owner", name),
        ):
            sentence = refused(run_here(server.folder, *arguments))
            assert sentence.startswith("the server does not answer: it hangs, or was stopped")
    assert run_here(server.folder, "who").exit_code == 0
    assert f"{name}\t" not in run_here(server.folder, "users", "list").stdout
    assert run_here(server.folder, "rooms", "list").stdout.count(room) == 0


# One that is busy with what it was asked is waited for, as long as it answers elsewhere.
def test_a_server_that_is_busy(path: Path, stand_in) -> None:
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            server.sendall(b'{"id":1,"ok":true}\n')

    patience = {"silence_seconds": 0.01, "check_is_alive": look}
    connection = Connection(f"unix:{path}", None, asking._Unheard(), **patience)
    with closing(connection), stand_in.accept()[0] as server:
        assert connection.exchange("vacuum")["ok"]
    assert len(looks) == 3


# A server of somebody else is told nothing: not a name, and no password.
@needs_peers
def test_a_server_of_somebody_else(run_here, tmp_path, path, stand_in, monkeypatch) -> None:
    monkeypatch.setattr(Stream, "peer_user_id", lambda _: 12345)
    alice = ("createuser", "alice", "--password", "secret", "--admin")
    told = refused(run_here(tmp_path, *alice))
    assert told.startswith(f"a program of another user listens at {path}; ")
    with stand_in.accept()[0] as asked:
        assert asked.recv(100) == b""


# Who listens is told by the kernel.
@needs_peers
def test_who_listens(path: Path, stand_in) -> None:
    with closing(Stream(f"unix:{path}", None)) as stream:
        assert stream.peer_user_id() == path.stat().st_uid


# Over a socket of IPv6, who comes by IPv4 is known by that address everywhere.
def test_ipv4_at_a_socket_of_ipv6(tmp_path, run_here) -> None:
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
    "words", ["who", "announce hello", "shutdown", "shutdown --cancel", "status", "status --json"]
)
def test_nothing_to_ask(run_here, tmp_path, words: str) -> None:
    sentence = f"no server runs on {tmp_path / 'var'}; start one: manage.py runserver"
    assert refused(run_here(tmp_path, *words.split())) == sentence
    assert list(tmp_path.iterdir()) == []


# Who is connected is listed, as a table, and whole as JSON; passwords are in neither, nor in logs.
def test_who(server, run_here, new_name) -> None:
    name, room = new_name("alice"), new_name("room")
    server.connect().register(name).join(room)
    server.program().call("ping")
    shown = said(run_here(server.folder, "who", "--json"))
    listed = [json.loads(line) for line in shown.split("\n")]
    alice = next(each for each in listed if each["user"] == name)
    assert (alice["wire"], alice["rooms"], alice["unread_bytes"]) == ("text", [room], 0)
    assert (listed[-1]["wire"], listed[-1]["user"]) == ("ndjson", None)
    shown = run_here(server.folder, "who").stdout.splitlines()
    assert [line.split("\t")[0] for line in shown] == [str(each["number"]) for each in listed]


# Lists are whole however long they are, and come a page at a time.
def test_long_lists(run_here, data: Path) -> None:
    names = {letter: [f"{letter}{number}" for number in range(1, 1002)] for letter in "ur"}
    with closing(sqlite3.connect(data / "greenroom.db")) as database, database:
        insert(database, "users", "name key skeleton", ([name] * 3 for name in names["u"]))
        rooms = ((*[name] * 3, 1) for name in names["r"])
        insert(database, "rooms", "name key skeleton owner_id", rooms)
    for words, letter in (("users", "u"), ("rooms", "r")):
        lines = run_here(data.parent, words, "list").stdout.splitlines()
        assert [line.split("\t")[0] for line in lines] == sorted(names[letter])


# Of sessions there is never so much in a page that it could not be read.
def test_pages_of_sessions(monkeypatch) -> None:
    monkeypatch.setattr(administration, "REPLAY_BYTES_MAX", 10)
    sessions = [fake_session(f"user{number}") for number in range(5)]
    for number, session in enumerate(sessions):
        session.number = number
        session.rooms = {"lobby": fake_room()}
    shown = list(administration._up_to_a_page(sessions, sessions[0]))
    assert [each.number for each in shown] == [0, 1, 2]
    assert [each.is_this for each in shown] == [True, False, False]


# A planned shutdown comes when it was planned for, with everybody told; it is as clean as any.
def test_a_planned_shutdown(start_server, run_here) -> None:
    server = start_server()
    alice = server.connect().register("alice")
    told = said(run_here(server.folder, "shutdown", "--in", "1s", "new disk"))
    assert told == "The server shuts down in 1 second."
    goodbye = "The server is shutting down. Goodbye."
    alice.expect_lines("The server shuts down in 1 second: new disk", goodbye)
    alice.close()
    assert server.process.wait(WAIT_SECONDS_MAX) == 0
    shown = run_here(server.folder, "audit").stdout.split("\t", 1)[1]
    assert shown == "(operator)\tshutdown\tin 1 second\t\tnew disk\n"


# What is no span is refused as bad usage, before anybody is asked.
@pytest.mark.parametrize("span", ["soon", "5", "99999d"])
def test_a_bad_span(run_here, tmp_path, span: str) -> None:
    assert run_here(tmp_path, "shutdown", "--in", span).exit_code == 2
