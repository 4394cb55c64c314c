"""What the client library takes for an event or an answer, whoever the server is."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.client import CallRefused, Client, ConnectionLost
from app.client.incoming import OWN_EVENTS, is_answer, is_event
from tests.client.test_library import open_client

JOINED = {"room": "den", "last_id": 3, "is_complete": True}
PAGE = {"room": "den", "messages": [], "last_id": 3, "has_more": False}
NO_IDS = [1.0, "1", True, None, -1, 1 << 53, 10**30, [1]]


# A server can't say what only the library says of the connection and of what is missing.
@pytest.mark.parametrize("name", sorted(OWN_EVENTS))
def test_events_of_ones_own(name: str) -> None:
    assert not is_event({"event": name, "room": "den", "id": 1, "message": "welcome back"})


# What the library goes by has its type, or is no event.
@pytest.mark.parametrize(
    ("event", "field"),
    [
        *(({"event": "message", "room": "den", "id": 1}, field) for field in ("room", "id")),
        *(({"event": "renamed", "room": "den", "name": "x"}, field) for field in ("room", "name")),
        *(({"event": "kicked", "room": "den", "user": "x"}, field) for field in ("room", "user")),
        ({"event": "deleted", "room": "den"}, "room"),
        ({"event": "topic"}, "event"),
    ],
)
def test_events_with_another_type(event: dict, field: str) -> None:
    assert is_event(event)
    for value in NO_IDS if field == "id" else [1, None, ["den"], {}, True]:
        assert not is_event({**event, field: value})
    assert not is_event({**event, field: 0})


# What is right for an answer to a request, and what is not.
ANSWERS = [
    *(({"op": "join", "room": room}, [JOINED], []) for room in ("DEN", "\uff24en")),
    *(({"op": "join", "room": room}, [], [JOINED]) for room in ("den-", "d\u0435n")),
    ({"op": "join", "room": "den"}, [JOINED], [{**JOINED, "last_id": no} for no in NO_IDS]),
    ({"op": "join", "room": "den"}, [], [{**JOINED, "is_complete": 1}]),
    ({"op": "leave", "room": "den"}, [], [{}, {"room": "hall"}]),
    ({"op": "who", "room": "den"}, [], [{"room": "hall", "people": []}]),
    ({"op": "room.roster", "room": "den"}, [], [{"room": "hall"}]),
    (
        {"op": "history", "room": "den"},
        [PAGE, {**PAGE, "messages": [{"room": "Den", "id": 1}]}],
        [
            {**PAGE, "room": "hall"},
            *({**PAGE, "messages": [{"room": "den", "id": no}]} for no in (*NO_IDS, 0)),
            *({**PAGE, "messages": [no]} for no in (None, {"room": "hall", "id": 1})),
        ],
    ),
    (
        {"op": "msg", "user": "bob"},
        [{"message_id": 1, "recipient": "Bob"}],
        [{"message_id": 1, "recipient": "carol"}],
    ),
    ({"op": "say", "room": "den"}, [], [{"message_id": no} for no in NO_IDS]),
    ({"op": "file.get", "file": 7}, [{"file": 7}], [{"file": 8}]),
    ({"op": "file.get", "file": 1}, [], [{"file": True}]),
    ({"op": "login", "name": "bob"}, [{"user": "bob"}], [{"user": "mallory"}]),
    (
        {"op": "login", "token": "x"},
        [{"user": "bob", "token": None}],
        [{"user": 5}, {"user": "bob", "token": {"a": 1}}],
    ),
]


# An answer is whole, and about what was asked.
@pytest.mark.parametrize(("request_", "right", "wrong"), ANSWERS)
def test_answers(request_: dict, right: list[dict], wrong: list[dict]) -> None:
    assert [is_answer(request_, each) for each in right] == [True] * len(right)
    assert [is_answer(request_, each) for each in wrong] == [False] * len(wrong)


def _serve(listener: socket.socket, answers: dict[str, list[dict]]) -> None:
    """Answer a client as a script says: to each op with these lines, of which one has its id."""
    with listener.accept()[0] as peer, peer.makefile("rb") as lines:
        for line in lines:
            asked = json.loads(line)
            for said in answers.get(asked["op"], [{"ok": True}]):
                said = said if "event" in said else {"id": asked["id"], **said}
                peer.sendall(json.dumps(said).encode() + b"\n")


# A program at a server that lies is refused, and hears nothing of it; it goes on.
def test_a_server_that_lies() -> None:
    message = {"event": "message", "room": "den", "user": "bob", "body": "hi", "at": "x"}
    answers = {
        "register": [{"ok": True, "user": "bob"}],
        "join": [{"ok": True, **JOINED, "room": "den-"}],
        "ping": [
            *({"event": name, "room": "den"} for name in sorted(OWN_EVENTS)),
            *({**message, "id": number} for number in NO_IDS),
            {"event": ["topic"]},
            {"event": "notice", "sentence": "the end"},
            {"id": True, "ok": True},
            {"id": [1], "ok": True},
            {"ok": True},
        ],
        "who": [{"ok": False}],
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, answers), daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with Client(address, name="bob", password="secret", register=True) as client:
            with pytest.raises(CallRefused) as refusal:
                client.join("den")
            assert refusal.value.code == "bad_answer"
            client.ping()
            assert next(client.events()) == answers["ping"][-4]
            with pytest.raises(CallRefused):
                client.call("who", room="den")


# Nobody is somebody else because a server says so.
def test_a_login_as_somebody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answers = {"login": [{"ok": True, "user": "mallory"}]}
        threading.Thread(target=_serve, args=(listener, answers), daemon=True).start()
        with pytest.raises((CallRefused, ConnectionLost)) as refusal:
            Client(f"127.0.0.1:{listener.getsockname()[1]}", name="bob", password="secret")
        assert getattr(refusal.value, "code", "") == "bad_answer"


# To a server that wants TLS nothing is said without: it hears no name and no password.
def test_no_password_goes_where_tls_is_needed() -> None:
    heard: list[bytes] = []

    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            heard.append(peer.recv(65536))
            peer.sendall(b'{"id":1,"ok":true,"sentence":"Pong.","needs_tls":true}\n')
            heard.append(peer.recv(65536))

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        asked = threads.submit(answer, listener)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(CallRefused, match="TLS"), open_client(address, "alice"):
            pass
        asked.result()
    assert heard == [b'{"id": 1, "op": "ping"}\n', b""]
