"""The client library against a real server: what a program that uses it can rely on."""

import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.client import Backoff, CallRefused, Client, ConnectionLost
from app.client.connection import Connection
from tests.client.test_resume import Longest
from tests.fire.kills.cuts import HASTE, cutting, say_through_cuts
from tests.kit.client import WAIT_SECONDS_MAX, wait_until
from tests.kit.server_process import ROOT, ServerProcess

NewName = Callable[[str], str]

TEST_SECONDS_MAX = 4 * WAIT_SECONDS_MAX  # with all that it waits for, in turn


@contextmanager
def open_client(server: ServerProcess | str, name: str, **options: object) -> Iterator[Client]:
    """Connect a client in haste; a test that waits for it in vain finds it closed."""
    address = server if isinstance(server, str) else f"127.0.0.1:{server.port}"
    given = {"name": name, "password": "secret", "register": True, "backoff": Backoff(**HASTE)}
    with Client(address, **(given | options)) as client:
        alarm = threading.Timer(TEST_SECONDS_MAX, client.close)
        alarm.start()
        try:
            yield client
        finally:
            alarm.cancel()


def bodies(client: Client, count: int) -> list[str]:
    """Return the bodies of the next messages."""
    messages = (event["body"] for event in client.events() if event["event"] == "message")
    return list(islice(messages, count))


def skip_to(client: Client, name: str) -> dict:
    """Return the next event of a name."""
    return next(event for event in client.events() if event["event"] == name)


def set_topics_until_cut(client: Client, room: str) -> None:
    """Ask what can't be asked twice, through a proxy that cuts, until nobody knows about one."""
    with suppress(ConnectionLost):
        for number in range(1_000):
            client.call("topic", room=room, text=str(number))
        raise AssertionError("nothing was lost")


def readme_bot() -> str:
    """Return the bot as the README prints it."""
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]


@contextmanager
def running_bot(folder: Path, port: int) -> Iterator[Callable[[], str]]:
    """Run the bot in a folder, and give what returns all that it has printed until now."""
    (folder / "bot.py").write_text(readme_bot().replace("127.0.0.1:8888", f"127.0.0.1:{port}"))
    log = folder / "bot.log"
    with log.open("a") as output:
        command = [sys.executable, "bot.py"]
        given = {**os.environ, "PYTHONPATH": str(ROOT)}
        bot = subprocess.Popen(command, cwd=folder, env=given, stdout=output)
    try:
        yield log.read_text
    finally:
        bot.kill()
        bot.wait()


def is_reading(server: ServerProcess) -> bool:
    """Return whether a client in this process still reads from the server, or tries to."""
    return any(f":{server.port}" in thread.name for thread in threading.enumerate())


def has_line(printed: Callable[[], str], end: str) -> bool:
    return any(line.endswith(f" {end}") for line in printed().splitlines())


def has_noted(folder: Path, printed: Callable[[], str]) -> bool:
    """Return whether the bot has noted that it dealt with the last line that it printed."""
    return (folder / "bot.seen").read_text() == printed().splitlines()[-1].split()[0]


def stored(server: ServerProcess, room: str) -> str:
    """Return what is stored of a room, as the bot prints it."""
    statement = (
        "SELECT messages.id || ' ' || users.name || ' ' || body FROM messages"
        " JOIN rooms ON rooms.id = room_id JOIN users ON users.id = messages.user_id"
        " WHERE rooms.name = ? ORDER BY messages.id"
    )
    with server.database() as database:
        return "".join(f"{line}\n" for (line,) in database.execute(statement, [room]))


# The README's bot has at most 15 lines, runs as printed, and misses nothing and answers once, when
# the server is killed and started again, and when it is itself. What was said before it was first
# there it does not answer.
def test_the_readme_bot_misses_nothing(start_server, tmp_path: Path) -> None:
    assert len(readme_bot().splitlines()) <= 15
    server = start_server()
    with open_client(server, "bob") as bob:
        bob.join("lobby")
        bob.say("lobby", "!echo from before it was first there")
        for number in ("1", "2"):
            if number == "2":
                bob.say("lobby", f"!echo {number} to begin with")
            with running_bot(tmp_path, server.port) as printed:
                if number == "1":
                    skip_to(bob, "joined")
                    bob.say("lobby", f"!echo {number} to begin with")
                wait_until(partial(has_line, printed, f"echo {number} to begin with"), "it is here")
                for count in range(5):
                    bob.say("lobby", f"{number}-{count}")
                server.kill()
                server.start()
                bob.say("lobby", f"!echo {number}")
                wait_until(partial(has_line, printed, f"echo {number}"), "the bot has answered")
                wait_until(partial(has_noted, tmp_path, printed), "it will know so")
        with running_bot(tmp_path, server.port) as printed:
            bob.say("lobby", "!echo good night")
            wait_until(partial(has_line, printed, "echo good night"), "it has read all")
            assert printed() == stored(server, "lobby").partition("\n")[2]
    replies = re.findall(r" echo (.*)", stored(server, "lobby"))
    assert replies == ["1 to begin with", "1", "2 to begin with", "2", "good night"]


# What is said is stored once, and shown once and in order to whoever said it, however often the
# connection is cut between the request and the end of its answer.
def test_what_is_said_through_cuts_is_stored_once(server: ServerProcess, new_name: NewName) -> None:
    say_through_cuts(server, new_name("cut"), cuts=25, seed=7)


# Of a request that can't be asked twice, and was not answered, nobody knows whether it happened.
def test_an_unanswered_request_raises_connection_lost(server: ServerProcess, new_name) -> None:
    room = new_name("room")
    with (
        cutting(server.port, "topic", 10, seed=3) as proxy,
        open_client(proxy.address, new_name("alice")) as client,
    ):
        client.join(room)
        set_topics_until_cut(client, room)
        assert client.call("who", room=room)["people"]  # and the client goes on


# What only reads is asked again, so that nobody hears of the cut.
def test_what_only_reads_is_asked_again(server: ServerProcess, new_name: NewName) -> None:
    room = new_name("room")
    with (
        cutting(server.port, "history", 5, seed=4) as proxy,
        open_client(proxy.address, new_name("alice")) as client,
    ):
        client.join(room)
        first = client.say(room, "hello")
        while proxy.cuts < 5:
            assert [each["id"] for each in client.call("history")["messages"]] == [first]


# Whoever was in rooms when the server was killed is back in all of them, with nothing missed and
# nothing twice; that it was away is told in its place, and at once to whoever asks for that.
def test_all_who_come_back_see_the_same(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    states: list[dict] = []
    with (
        open_client(server, "alice", on_state=states.append) as alice,
        open_client(server, "bob") as bob,
    ):
        for client in (alice, bob):
            client.join("one")
            client.join("two")
        alice.say("one", "a")
        bob.say("two", "b")
        server.kill()
        server.start()
        alice.say("one", "c")
        bob.say("two", "d")
        for client in (alice, bob):
            shown: dict[str, list[str]] = {"one": [], "two": [], "": []}
            while len(shown["one"]) + len(shown["two"]) < 4:
                event = next(client.events())
                if event["event"] in ("message", "reconnecting", "connected"):
                    what = event.get("body", event["event"])
                    shown[event.get("room", "")].append(what)
            assert list(shown.values()) == [["a", "c"], ["b", "d"], ["reconnecting", "connected"]]
        assert [state["event"] for state in states] == ["reconnecting", "connected"]


# What the server does not replay whole is read from history, page by page, before what follows.
def test_what_is_not_replayed_is_read_from_history(server, new_name, monkeypatch) -> None:
    monkeypatch.setattr("app.client.client.GAP_PAGE_MESSAGES", 700)
    room, name = new_name("room"), new_name("alice")
    with open_client(server, name) as alice:
        alice.join(room)
        first = alice.say(room, "0")
    statement = (
        "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 5000)"
        " INSERT INTO messages (room_id, user_id, is_action, body, said_at)"
        " SELECT room_id, user_id, is_action, n, said_at FROM counted, messages WHERE id = ?"
    )
    with server.database() as database:
        database.execute(statement, [first])
    with open_client(server, name) as alice, open_client(server, new_name("bob")) as bob:
        alice.join(room, since=first - 1)
        bob.join(room)
        bob.say(room, "live")
        assert bodies(alice, 5002) == [*map(str, range(5001)), "live"]


# A program that only speaks holds no more than the queue's bound; when it reads, all is there.
def test_a_program_that_does_not_read_holds_little_and_misses_nothing(
    server: ServerProcess, new_name: NewName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.client.client.EVENTS_QUEUED_MAX", 10)
    room, said = new_name("room"), [str(number) for number in range(60)]
    with open_client(server, new_name("alice")) as alice, open_client(server, "carol") as carol:
        alice.join(room)
        for body in said[:30]:
            alice.say(room, body)
        carol.join(room)
        for body in said[30:]:
            alice.say(room, body)
        shown = [next(alice.events()) for _ in range(61)]
        assert [event["body"] for event in shown[:60]] == said
        assert ["is_replayed" in event for event in shown[:60]] == [False] * 10 + [True] * 50
        assert shown[60] == {"event": "missed"}  # that carol joined


# A room that is renamed while a gap of it waits to be filled is read on under its new name, and
# entered again by that; nothing is missing.
def test_a_room_is_renamed_behind_a_gap(server, new_name, run_here, monkeypatch) -> None:
    monkeypatch.setattr("app.client.client.EVENTS_QUEUED_MAX", 10)
    room, new, said = new_name("room"), new_name("new"), [str(number) for number in range(30)]
    with open_client(server, new_name("alice")) as alice:
        alice.join(room)
        for body in said:
            alice.say(room, body)
        assert run_here(server.folder, "rooms", "rename", room, new).exit_code == 0
        assert alice.call("who", room=new)["room"] == new  # so it has read that far
        alice.say(new, "after")
        assert bodies(alice, 31) == [*said, "after"]


# While nobody reads its events, a client does not read the socket, so nothing has to be read again;
# but it does for a call, also one from the thread that reads events.
def test_calls_are_answered_while_events_wait(server: ServerProcess, new_name, monkeypatch) -> None:
    monkeypatch.setattr("app.client.client.EVENTS_QUEUED_MAX", 5)
    room, said = new_name("room"), [str(number) for number in range(60)]
    with open_client(server, new_name("alice")) as alice, open_client(server, "dora") as dora:
        alice.join(room)
        dora.join(room)
        for body in said:
            dora.say(room, body)
        messages = (event for event in alice.events() if event["event"] == "message")
        at_leisure = list(islice(messages, 20))
        assert not any("is_replayed" in message for message in at_leisure)
        heard = [message["body"] for message in at_leisure]
        for message in islice(messages, 40):
            assert alice.call("who", room=room)["room"] == room
            heard.append(message["body"])
        assert heard == said
        assert 0 < alice.ping() == alice.latency


# A refusal has the server's code and sentence, and costs the client nothing.
def test_a_refusal_has_a_code_and_a_sentence(server: ServerProcess, new_name: NewName) -> None:
    room = new_name("room")
    with open_client(server, new_name("alice")) as client:
        with pytest.raises(CallRefused, match="room") as refused:
            client.say(room, "hello?")
        assert refused.value.code == "no_room"
        client.join(room)
        with pytest.raises(CallRefused, match="at most 4096 bytes") as refused:
            client.say(room, "x" * 5000)
        assert refused.value.code == "line_too_long"
        assert client.say(room, "héllo 火锅") > 0


# A wrong password is told where the client is made; a name that is taken needs no registering.
def test_a_wrong_password_is_told_at_once(server: ServerProcess, new_name: NewName) -> None:
    name = new_name("alice")
    for _ in range(2):
        with open_client(server, name) as client:
            assert client.user == name
    with pytest.raises(CallRefused) as refused, open_client(server, name, password="wrong"):
        pass
    assert refused.value.code == "login_refused"


# A token logs in without the password; one that was revoked gives way to the password, if known.
def test_a_token_logs_in(server: ServerProcess, new_name: NewName) -> None:
    name = new_name("alice")
    with open_client(server, name, remember="a laptop") as client:
        token = client.token
        assert [each["label"] for each in client.call("tokens")["tokens"]] == ["a laptop"]
    with open_client(server, "", password="", token=token, register=False) as client:
        assert client.user == name
        (number,) = (each["number"] for each in client.call("tokens")["tokens"])
        client.call("tokens", revoke=number)
    with pytest.raises(CallRefused), open_client(server, "", password="", token=token):
        pass
    with open_client(server, name, token=token, remember="again") as client:
        assert client.user == name
        assert client.token not in ("", token)


# Who is not let in any more is told so by `events()`, after all that came before, and by calls.
def test_a_login_refused_at_a_reconnect_ends_the_client(start_server) -> None:
    server = start_server()
    with open_client(server, "alice") as client:
        client.join("lobby")
        client.say("lobby", "before")
        server.kill()
        with server.database() as database:
            database.execute("UPDATE users SET is_disabled = 1")
        server.start()
        with pytest.raises(CallRefused):
            client.ping()
        events = client.events()
        assert [next(events)["event"] for _ in range(2)] == ["message", "reconnecting"]
        with pytest.raises(CallRefused) as refused:
            next(events)
        assert refused.value.code == "disabled"


# Who is shut out of a room while away is told so, and stays in the others.
def test_a_room_that_is_shut_while_away_is_told(server: ServerProcess, new_name: NewName) -> None:
    room, other = new_name("room"), new_name("other")
    slow = Backoff(seconds_first=0.2, random=Longest())
    with (
        cutting(server.port, "topic", 10, seed=5) as proxy,
        open_client(server, new_name("alice")) as alice,
        open_client(proxy.address, new_name("bob"), backoff=slow) as bob,
    ):
        alice.join(room)
        bob.join(room)
        bob.join(other)
        set_topics_until_cut(bob, other)
        alice.call("ban", room=room, user=bob.user)
        assert bob.say(other, "here") > 0
        event = skip_to(bob, "shut_out")
        assert (event["room"], event["error"]) == (room, "banned")
        with pytest.raises(CallRefused):
            bob.say(room, "and there?")


# Closing from another thread ends `events()`, and calls that wait for a server that is away.
def test_closing_wakes_everybody(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    away = Backoff(seconds_first=3600, seconds_max=3600, random=Longest())
    with open_client(server, "alice", backoff=away) as client, ThreadPoolExecutor() as threads:
        client.join("lobby")
        server.kill()
        assert skip_to(client, "reconnecting")
        waiting = [threads.submit(list, client.events()), threads.submit(client.ping)]
        client.close()
        assert waiting[0].result(WAIT_SECONDS_MAX) == []
        assert isinstance(waiting[1].exception(WAIT_SECONDS_MAX), ConnectionLost)
        with pytest.raises(ConnectionLost, match="closed"):
            client.say("lobby", "too late")
        wait_until(lambda: not is_reading(server), "its thread has ended")


# Whoever bounds the attempts in a row is told when they are used up.
def test_attempts_can_be_bounded(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    backoff = Backoff(**HASTE, attempts_max=2)
    with open_client(server, "alice", backoff=backoff) as client:
        server.kill()
        with pytest.raises(ConnectionLost, match="can't connect"):
            list(client.events())


# Where there is no server, or none of ours, or one that says nothing, that is told at once.
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Greenroom"),
        (b"[]\n", "no Greenroom"),
        (b"[" * 60_000 + b"\n", "no Greenroom"),
        (b'{"id": null, "ok": false, "error": "full", "message": "full, sorry"}\n', "full, sorry"),
        (b"", "hung up"),
        (None, "silent"),
    ],
)
def test_what_is_no_server_is_told(answer: bytes | None, told: str, monkeypatch) -> None:
    monkeypatch.setitem(Connection.__init__.__kwdefaults__, "silence_seconds", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        if answer is not None:
            threads.submit(_answer_one, listener, answer)
        with pytest.raises(ConnectionLost, match=told), open_client(address, "alice"):
            pass
    with pytest.raises(ConnectionLost, match="can't connect"), open_client(address, "alice"):
        pass


def _answer_one(listener: socket.socket, answer: bytes) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.recv(65536)
        peer.sendall(answer)


# What can't be right is told before anything is tried.
def test_what_cannot_be_right_is_told() -> None:
    with pytest.raises(ValueError, match="not an address"), open_client("no where", "alice"):
        pass
    with pytest.raises(ValueError, match="a name and a password"):
        Client("127.0.0.1:8888")


# What a server answers behind an outage took as long as it took then.
def test_an_outage_is_no_delay(start_server, new_name: NewName, monkeypatch) -> None:
    server = start_server()
    clock = [0.0]
    monkeypatch.setattr("app.client.client.time", SimpleNamespace(monotonic=lambda: clock[0]))
    with (
        open_client(server, new_name("alice"), backoff=Backoff(**HASTE)) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        with server.held():
            asked = threads.submit(client.ping)
            wait_until(lambda: client._current._asked, "it is asked")
            clock[0] = 3600.0
            client._current.cut("gone")
        assert asked.result() == 0


# Inside TLS it is the same, also while four threads speak and one reads; a certificate that the
# program does not trust is told.
def test_a_client_inside_tls(start_server, run_here: Callable[..., object], tmp_path: Path) -> None:
    run_here(tmp_path, "selfsigned", "--directory", str(tmp_path))
    certificate, key = tmp_path / "tls-cert.pem", tmp_path / "tls-key.pem"
    server = start_server(TLS_CERT=certificate, TLS_KEY=key)
    said = [f"{number} ".ljust(3000, "x") for number in range(60)]
    with (
        pytest.raises(ConnectionLost, match="certificate is not to be trusted"),
        open_client(server, "eve", tls=True),
    ):
        pass
    trusting = ssl.create_default_context(cafile=certificate)
    with open_client(server, "alice", tls=trusting) as alice, ThreadPoolExecutor(4) as threads:
        alice.join("lobby")
        ids = list(threads.map(partial(alice.say, "lobby"), said))
        assert sorted(bodies(alice, len(said))) == sorted(said)
        assert len(set(ids)) == len(said)


# A bot starts fast: the library needs nothing but Python itself.
def test_the_library_needs_nothing_but_python() -> None:
    code = "import sys, app.client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {"app", "__main__", *sys.stdlib_module_names}
