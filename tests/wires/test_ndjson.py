"""The NDJSON wire against a real server: what a program can rely on."""

import json
import re
from dataclasses import MISSING, fields

import pytest

from app.protocol import COMMANDS
from app.protocol.command import Command, Level
from app.wires.ndjson.requests import OPS
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess

ROOMS_MAX = 100
ANY_FIELDS = {  # what a request of each kind needs; the others need nothing
    **dict.fromkeys(("body", "text", "old", "new", "password", "path", "sig", "txn"), "x"),
    **dict.fromkeys(("user", "target", "owner"), "bob"),
    **{name: [] for name in ("otk", "users", "targets", "msgs")},
    "room": "lobby",
    "file": 1,
    "name": "a.txt",
    "payload": "{}",
    "upto": 0,
}


@pytest.fixture
def owner(server: ServerProcess, new_name) -> Program:
    """A program in a room of its own."""
    return server.program().register(new_name("owner")).join(new_name("room"))


@pytest.fixture
def guest(server: ServerProcess, new_name, owner: Program) -> Program:
    """Another in the same room."""
    guest = server.program().register(new_name("guest")).join(owner.room)
    owner.event("joined", room=owner.room, user=guest.name)
    return guest


def _needed(kind: type[Command]) -> dict[str, object]:
    needed = (field.name for field in fields(kind) if field.default is MISSING)
    return {name: ANY_FIELDS[name] for name in needed}


# Before login there is nothing to be had but a login, help, a sign of life, and the way out.
@pytest.mark.parametrize(("op", "kind"), OPS.items())
def test_before_login(server: ServerProcess, op: str, kind: type[Command]) -> None:
    stranger = server.program()
    if kind.least is not Level.ANYBODY:
        assert stranger.refused(op, **_needed(kind)) == "login_required"
        stranger.expect_nothing_more()
    free = {kind.word for kind in COMMANDS.values() if kind.least is Level.ANYBODY}
    assert free == {"register", "login", "ping", "help", "quit"}


# Those who may not ask for something are told so before its arguments are read, on each wire.
def test_rights_come_before_arguments(server: ServerProcess, guest: Program) -> None:
    stranger = server.program()
    stranger.call("ping")
    typist = server.connect()
    typist.expect("login: ")
    user = server.connect().register(f"typing-{guest.name}")
    for kind in COMMANDS.values():
        if kind.op and kind.least is not Level.ANYBODY:
            assert stranger.refused(kind.op, nonsense=[1]) == "login_required"
        if kind.op and kind.least > Level.USER:
            assert guest.refused(kind.op, nonsense=[1]) == "not_allowed"
        if kind.is_typed and kind.least in (Level.USER, Level.ADMIN):
            typist.type(f"/{kind.word} x 5x {'y' * 201}")
            typist.expect("Error: log in first: /login NAME, or /register NAME\r\nlogin: ")
        if kind.is_typed and kind.least is Level.ADMIN:
            user.type(f"/{kind.word} x 5x {'y' * 201}")
            user.expect_lines("Error: only admins may do that")
    typist.expect_nothing_more()


# A login that failed leaves nobody logged in, and one that succeeded can't become another's.
def test_one_identity_a_connection(server: ServerProcess, owner: Program, guest: Program) -> None:
    stranger = server.program()
    assert stranger.refused("login", name=owner.name, password="wrong") == "login_refused"
    assert stranger.refused("rooms") == "login_required"
    for word in ("login", "register"):
        name = owner.name
        assert guest.refused(word, name=name, password="secret") == "already_logged_in"
    guest.call("say", body="who am I?")
    owner.event(user=guest.name, body="who am I?")


# A program may be in many rooms, and not in more.
def test_rooms_a_session(server: ServerProcess, new_name) -> None:
    name = new_name("bot")
    bot = server.program().register(name)
    for number in range(ROOMS_MAX):
        bot.call("join", room=f"{name}-{number}")
    assert bot.refused("join", room=f"{name}-{ROOMS_MAX}") == "too_many_rooms"


# Whatever happens in a room and to whom is told as it is documented, each event with its fields.
def test_events_of_a_room(owner: Program, guest: Program) -> None:
    room, user, by = owner.room, guest.name, owner.name
    for op in ("promote", "demote"):
        owner.call(op, user=user)
        guest.event(f"{op}d", room=room, user=user, by=by)
    owner.call("topic", text="Tea at five")
    guest.event("topic", room=room, user=by, topic="Tea at five")
    assert guest.call("topic")["topic"] == "Tea at five"
    owner.call("mute", user=user, seconds=60, reason="caps")
    guest.event("muted", room=room, user=user, by=by, seconds=60, reason="caps")
    assert guest.refused("say", body="hm") == "muted"
    (mute,) = guest.call("bans")["mutes"]
    assert (mute["user"], mute["by"], mute["reason"]) == (user, by, "caps")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", mute["until"])
    owner.call("unmute", user=user)
    guest.event("unmuted", room=room, user=user, by=by)
    guest.call("me", body="waves")
    said = guest.event(room=room, user=user, body="waves", is_action=True)
    assert owner.catch_up()[-1] == said
    guest.call("leave")
    owner.event("left", room=room, user=user)


# Whoever is sent out is told by the same event as those who stay, and hears no more.
def test_being_sent_out(server: ServerProcess, owner: Program, guest: Program) -> None:
    room, user, by = owner.room, guest.name, owner.name
    owner.call("kick", user=user, reason="enough")
    guest.event("kicked", room=room, user=user, by=by, reason="enough")
    assert owner.event("kicked", user=user) is not None
    assert guest.refused("say", body="hey") == "no_room"
    guest.join(room)
    owner.event("joined", user=user)
    owner.call("ban", user=user, seconds=7200)
    guest.event("banned", room=room, user=user, by=by, seconds=7200, reason="")
    owner.event("banned", user=user)
    owner.call("say", body="among us")
    owner.event(body="among us")
    assert guest.refused("join", room=room) == "banned"
    owner.call("unban", user=user)
    owner.event("unbanned", room=room, user=user, by=by)
    guest.join(room)
    assert [event["body"] for event in guest.catch_up()] == ["among us"]
    guest.close()
    owner.event("joined", user=user)
    owner.event("disconnected", room=room, user=user)


# A private message comes at once, or behind the next login; its sender learns who is away.
def test_private_messages(server: ServerProcess, owner: Program, guest: Program) -> None:
    sent = owner.call("msg", user=guest.name.upper(), body="psst")
    assert (sent["recipient"], sent["body"], sent["away"]) == (guest.name, "psst", None)
    fields = {"id": sent["message_id"], "user": owner.name, "recipient": guest.name}
    assert "is_replayed" not in guest.event("private", body="psst", **fields)
    guest.call("away", why="lunch")
    assert owner.call("msg", user=guest.name, body="soup?")["away"] == "lunch"
    guest.event("private", body="soup?")
    guest.call("quit")
    assert guest.expect_end() == ""
    owner.event("disconnected")
    for body in ("one", "two"):
        owner.call("msg", user=guest.name, body=body)
    back = server.program().log_in(guest.name)
    assert [(event["event"], event["body"]) for event in back.events] == []
    for body in ("one", "two"):
        back.event("private", body=body, is_replayed=True)
    back.expect_nothing_more()


# In several rooms at once, each room has its one order, and a name without a room is refused.
def test_several_rooms(server: ServerProcess, new_name, owner: Program) -> None:
    second = new_name("room")
    rooms = (owner.room, second)
    owner.call("join", room=second)
    reader = server.program().register(new_name("reader"))
    for room in rooms:
        reader.call("join", room=room)
    assert owner.refused("say", body="where?") == "which_room"
    asked = [owner.ask("say", room=rooms[number % 2], body=str(number)) for number in range(50)]
    for number in asked:
        owner.answer(number)
    seen = reader.catch_up()
    for number, room in enumerate(rooms):
        bodies = [event["body"] for event in seen if event["room"] == room]
        assert bodies == [str(each) for each in range(number, 50, 2)]
    assert owner.call("leave", room=second.upper())["room"] == second


# A thousand says in one write are answered in their order, with ids that rise, and each is shown
# before it is answered; what is asked behind them is answered behind them.
def test_a_thousand_at_once(owner: Program) -> None:
    says = [json.dumps({"id": f"s{n}", "op": "say", "body": f"{n}"}) for n in range(1000)]
    owner.type(*says, '{"id":"who","op":"who"}')
    message_ids, shown = [], {}
    for number in range(1000):
        message_ids.append(owner.answer(f"s{number}")["message_id"])
        shown |= {event["id"]: event["body"] for event in owner.events}
        owner.events.clear()
        assert shown[message_ids[-1]] == str(number)
    assert message_ids == sorted(set(message_ids))
    assert owner.answer("who")["people"][0]["name"] == owner.name


# Requests without ids have an answer each all the same.
def test_without_ids(owner: Program, guest: Program) -> None:
    say = '{"op":"say","body":"x"}'
    owner.type(say, say, json.dumps({"op": "kick", "user": guest.name}))
    lines = [json.loads(owner.expect("\n")) for _ in range(6)]
    answers = [line for line in lines if "event" not in line]
    said = ["id", "message_id", "ok"]
    assert [sorted(answer) for answer in answers] == [said, said, ["id", "ok"]]


# History goes back from its end, or on from a message, in pages without a gap.
def test_history_by_ids(owner: Program) -> None:
    ids = owner.say(*map(str, range(10)))

    def page(**fields: int) -> tuple[list[int], bool]:
        answer = owner.call("history", **fields)
        found = [message["id"] for message in answer["messages"]]
        if found:
            assert (answer["before_id"], answer["last_id"]) == (found[0], found[-1])
        return found, answer["has_more"]

    assert page(count=4) == (ids[6:], True)
    assert page(count=4, before=ids[6]) == (ids[2:6], True)
    assert page(count=4, before=ids[2]) == (ids[:2], False)
    assert page(after=ids[3]) == (ids[4:], False)
    assert page(count=4, after=0) == (ids[:4], True)
    assert page(count=4, after=ids[3]) == (ids[4:8], True)
    assert page(count=4, after=ids[7]) == (ids[8:], False)
    assert page(after=ids[1], before=ids[8], count=3) == (ids[5:8], True)
    assert page(after=ids[1], before=ids[4]) == (ids[2:4], False)
    assert page(after=ids[-1]) == page(before=0) == page(before=ids[0]) == ([], False)
    assert page(after=(1 << 63) - 1) == ([], False)
    assert page(before=(1 << 63) - 1, count=2) == (ids[8:], True)


# What a program does not want to hear is left out of a page; where the next one begins it learns
# all the same.
def test_history_of_the_ignored(owner: Program, guest: Program) -> None:
    said = guest.say(*"0123")
    (last,) = owner.say("at last")
    owner.call("ignore", user=guest.name)
    seen, after, has_more = [], 0, True
    while has_more:
        answer = owner.call("history", after=after, count=2)
        seen += [message["id"] for message in answer["messages"]]
        after, has_more = answer["last_id"], answer["has_more"]
    assert seen == [last]
    assert owner.call("history", count=2, before=last)["before_id"] == said[2]


# Who has missed more in many rooms than may be left unread has it all, as fast as it reads.
def test_many_rooms_at_once(server: ServerProcess, new_name) -> None:
    talker = server.program().register(new_name("talker"))
    rooms = [new_name("big") for _ in range(8)]
    body = '"' * 1900  # as JSON twice as long
    for room in rooms:
        talker.call("join", room=room)
        talker.say(*[body] * 180, room=room)
    late = server.program(receive_buffer_bytes=4096).register(new_name("late"))
    asked = [late.ask("join", room=room, since=0) for room in rooms]
    pages = [late.ask("history", room=rooms[0], count=150) for _ in range(4)]
    for number in asked:
        assert late.answer(number)["is_complete"]
    for number in pages:
        assert len(late.answer(number)["messages"]) == 150
    assert len(late.events) == 8 * 180


# When the server stops, what was said is answered, and the last line says so.
def test_shutdown(start_server, new_name) -> None:
    server = start_server()
    bot = server.program().register("bot").join("lobby")
    bot.call("say", body="hello")
    bot.event(body="hello")
    server.stop_before_its_clients()
    assert json.loads(bot.receive_end())["sentence"] == "The server is shutting down. Goodbye."


# A message that can't be stored is answered as such, each under its own id, and shown to nobody.
def test_not_stored(start_server) -> None:
    server = start_server()
    bot, other = (server.program().register(name).join("lobby") for name in ("bot", "other"))
    bot.event("joined")
    server.limit_files(0)
    bot.type(*(f'{{"id":{n},"op":"say","body":"x","txn":"t{n}"}}' for n in range(5)))
    bot.type('{"id":5,"op":"me","body":"x"}', '{"id":6,"op":"msg","user":"other","body":"x"}')
    for number in range(7):
        assert bot.answer(number)["error"] == "not_stored"
    server.limit_files(None)
    other.expect_nothing_more()
    assert bot.call("say", body="x", txn="t1")["message_id"] > 0
    other.event(body="x")
    other.expect_nothing_more()
