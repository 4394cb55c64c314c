"""Too many connections for the server, or for the system: who is told what, and who notices."""

import base64
import errno
import json
import ssl
from contextlib import closing
from functools import partial
from typing import NoReturn

import pytest
from gevent import GreenletExit
from gevent.server import StreamServer
from structlog.testing import capture_logs

from app.bounds import CONTROL_CONNECTIONS_MAX, RESERVED_DESCRIPTORS
from app.net.listener import Listener, listen
from tests.kit.client import Client, wait_until
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import send_raw

FULL = "the server is full; try again later"
TOO_MANY_OPERATORS = "too many of you are here; try again later"
OPEN_FILES_MAX = 128
NEWCOMERS = 200
CANT_ACCEPT = "can't accept newcomers"  # in the log


# Whoever comes to a full server is told so in what they speak, and closed: people, programs, what
# speaks HTTP, and each of them inside TLS too. Who is there already notices nothing.
def test_a_full_server_tells_everybody(start_server, run_here, tmp_path) -> None:
    assert run_here(tmp_path, "selfsigned").exit_code == 0
    folder = tmp_path / "var"
    files = {"TLS_CERT": folder / "tls-cert.pem", "TLS_KEY": folder / "tls-key.pem"}
    server = start_server(CONNECTIONS_MAX=1, **files)
    here = server.connect().register("here").join("room")
    refusal = {"id": None, "ok": False, "error": "full", "message": FULL}
    for tls in (None, ssl.create_default_context(cafile=files["TLS_CERT"])):
        told = partial(send_raw, server, tls=tls)
        assert told(b"").decode() == told(b"/login bob\n").decode() == f"Error: {FULL}\r\n"
        assert json.loads(told(b'{"op":"ping"}\n')) == refusal
        answer = told(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.endswith(f"\r\n\r\n{FULL}\n".encode())
    here.exchange("hello", "here: hello")
    here.expect_nothing_more()


def _is_full(client: Client) -> bool:
    client.greet()
    return client.expect_line() == f"Error: {FULL}"


# With few descriptors, newcomers are told that the server is full before it has none left itself
# (CVE-2017-7652). Who is there goes on talking, logging in and sending files, an operator is
# answered; and when there is room again, newcomers are let in.
def test_few_descriptors(start_server, run_here) -> None:
    server = start_server(open_files_max=OPEN_FILES_MAX)
    alice = server.connect().register("alice").join("room")
    crowd = [server.connect() for _ in range(NEWCOMERS)]
    let_in = [client for client in crowd if not _is_full(client)]
    assert len(let_in) == OPEN_FILES_MAX - RESERVED_DESCRIPTORS - 1

    let_in[0].log_in("alice").join("room")
    alice.type("/upload note.txt", base64.b64encode(b"x" * 1000).decode(), ".", "all well?")
    alice.expect("Lines of base64, please, and then a line with a dot alone.\r\n")
    for client in (alice, let_in[0]):
        client.expect_line("alice shares note.txt .*")
        client.expect_lines("alice: all well?")
    assert "alice" in run_here(server.folder, "users", "list").stdout
    assert CANT_ACCEPT not in server.log
    for client in crowd:
        client.close()
    wait_until(lambda: not _is_full(server.connect()), "there is room")
    alice.expect_nothing_more()


# When the system has no descriptors for the server at all, newcomers wait, the log says so once,
# and those who are there notice nothing. As soon as there are some, the newcomers are served.
def test_no_descriptors(server) -> None:
    here = server.connect().register("here").join("room")
    server.limit_descriptors(0)
    newcomers = [server.connect() for _ in range(5)]
    wait_until(lambda: CANT_ACCEPT in server.log, "the log says that nobody is let in")
    here.exchange("still here", "here: still here")
    server.limit_descriptors(None)
    for client in newcomers:
        client.expect("login: ")
    assert server.log.count(CANT_ACCEPT) == 1
    assert "Traceback" not in server.log


# It says so once, however often there are some for a moment and none again.
def test_descriptors_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: StreamServer) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(StreamServer, "do_read", fail)
    with closing(listen("127.0.0.1:0", 60)) as socket, capture_logs() as logged:
        listener = Listener(socket, print)
        for _ in range(3):
            listener.delay = listener.min_delay  # as behind each client that was accepted
            with pytest.raises(GreenletExit):
                listener.do_read()
    assert [each["event"] for each in logged] == [f"{CANT_ACCEPT}; they wait"]


# The operator, too, can open so many connections and no more, and is told so. The chat goes on, and
# so do those that are open.
def test_too_many_operators(server) -> None:
    here = server.connect().register("present").join("another-room")
    operators = [server.control() for _ in range(CONTROL_CONNECTIONS_MAX)]
    for operator in operators:
        operator.expect_nothing_more()
    refusal = json.loads(server.control().receive_end())
    assert refusal == {"id": None, "ok": False, "error": "full", "message": TOO_MANY_OPERATORS}
    here.exchange("hello", "present: hello")
    for operator in operators:
        operator.expect_nothing_more()


# A server that could not take in a single client does not start, and says how it would.
def test_too_few_descriptors_to_start(tmp_path) -> None:
    server = ServerProcess(tmp_path, open_files_max=RESERVED_DESCRIPTORS)
    with pytest.raises(AssertionError, match="64 open files are too few"):
        server.start()
    assert not (tmp_path / "var").exists()
    server.kill()
