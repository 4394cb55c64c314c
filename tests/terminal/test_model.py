"""What the terminal client knows and shows, without a terminal or a server."""

import time

import pytest

from app.errors import BadLine
from app.terminal import phrases
from app.terminal.arrivals import cleaned, milliseconds
from app.terminal.model import LINES_MAX, Line, Model, Room
from app.terminal.screen.appearance import local_day, local_minute, name_style, rows_of, wrap
from app.terminal.screen.pane import scroll, visible_rows
from app.terminal.screen.status import place, title, weather
from app.terminal.typed import WORDS, CanNotDo, Request, help_lines, read_request
from tests.attacks.test_terminal import ATTACKS

AT = "2026-11-22T14:02:11.123Z"


def said(body: str, *, room: str = "lobby", user: str = "bob", **more) -> dict:
    event = {"event": "message", "room": room, "id": 1, "user": user, "body": body}
    return {**event, "at": AT, "is_action": False, **more}


def happened(event: str, user: str, room: str = "lobby", **more) -> dict:
    return {"event": event, "room": room, "user": user, **more}


def entered(room: str, *users: str) -> dict:
    return {"id": 1, "ok": True, "room": room, "topic": "", "users": users and list(users)}


@pytest.fixture
def model() -> Model:
    """Alice's, who is in lobby, with bob, and in dev, which she looks at."""
    model = Model("alice", clock=lambda: milliseconds(AT))
    model.enter(entered("lobby", "alice", "bob"))
    model.enter(entered("dev", "alice"))
    return model


def texts(room: Room) -> list[str]:
    return [line.text for line in room.lines]


def shown(pieces) -> str:
    return "".join(piece[1] for piece in pieces)


# What is said where nobody looks is unread until somebody does; one's own room has nothing unread.
def test_unread(model: Model) -> None:
    model.apply(said("one"))
    model.apply(said("two"))
    model.apply(said("here", room="dev"))
    assert shown(place(model, 80)) == " 0:home 1:lobby(2) [2:dev] "
    model.show_number(1)
    assert shown(place(model, 80)) == " 0:home [1:lobby] 2:dev "
    model.apply(said("mine", room="dev", user="alice"))  # from another session of theirs
    assert shown(place(model, 80)) == " 0:home [1:lobby] 2:dev "


# However many rooms there are, the bar shows the one that is looked at, and at either end how many
# of the others have something unread; a key goes to the next of them.
def test_many_rooms(model: Model) -> None:
    for number in range(3, 15):
        model.enter(entered(f"cellar{number}"))
    model.apply(said("one", room="cellar4"))
    model.apply(said("two", room="cellar14"))
    for number in range(len(model.rooms)):
        model.show_number(number)
        bar = shown(place(model, 60))
        assert f"[{number}:" in bar
        assert len(bar) <= 60
    model.show_number(8)
    model.apply(said("alice, come", room="cellar3"))
    model.apply(said("alice, come", room="cellar14"))
    bar = shown(place(model, 60))
    assert bar.startswith(" <(1!) ")
    assert bar.endswith(" (1!)> ")
    seen = []
    for _ in range(3):
        model.show_unread()
        seen.append(model.current.name)
    assert seen == ["cellar14", "cellar3", "cellar3"]


# What was removed for good is not on the screen either: of that author, and of those ids.
def test_what_was_removed(model: Model) -> None:
    for number, user in enumerate(("bob", "carol", "bob", "bob"), start=7):
        model.apply(said(f"line {number}", user=user, id=number))
    purged = happened("purged", "alice", author="bob", first_id=7, last_id=9, messages=2)
    model.apply(purged)
    told = ["(removed)", "line 8", "(removed)", "line 10", "alice removed 2 messages."]
    assert texts(model.find("lobby")) == told
    model.apply(purged | {"author": None, "first_id": 8, "last_id": 8, "messages": 1})
    assert texts(model.find("lobby"))[1] == "(removed)"
    model.apply(purged | {"last_id": "all"})  # that makes no sense, and is nothing
    assert texts(model.find("lobby"))[3] == "line 10"


# Whoever is called by name hears it: whole, in any case, by somebody else, and when it is said.
def test_mentions(model: Model) -> None:
    for body in ("alice: hi", "hi Alice!", "ALICE"):
        assert model.apply(said(body)), body
    for body in ("malice", "alices", "nothing"):
        assert not model.apply(said(body)), body
    assert not model.apply(said("alice says", user="alice"))
    assert not model.apply(said("alice, before", is_replayed=True))
    assert shown(place(model, 80)) == " 0:home 1:lobby(6!) [2:dev] "
    lobby = model.find("LOBBY")
    assert [line.is_mention for line in lobby.lines] == [True] * 3 + [False] * 4 + [True]


# Those who come and go are counted, whatever makes them go.
def test_people(model: Model) -> None:
    lobby = model.find("lobby")
    for number, event in enumerate(("left", "disconnected", "kicked", "banned")):
        model.apply(happened("joined", f"carol{number}"))
        assert f"carol{number}" in lobby.people
        model.apply(happened(event, f"carol{number}", by="bob", reason="", seconds=None))
    assert lobby.people == {"alice", "bob"}
    model.meet({"room": "lobby", "people": [{"name": "dave", "role": "", "away": None}]})
    model.show(lobby)
    assert lobby.people == {"dave"}
    assert "1 person" in shown(weather(model))


# Facts are told in the words of the text wire.
def test_facts_are_told_as_on_the_text_wire(model: Model) -> None:
    model.apply(happened("joined", "carol"))
    model.apply(happened("banned", "carol", by="bob", seconds=7200, reason="spam"))
    model.apply(happened("topic", "bob", topic="wires"))
    lobby = model.find("lobby")
    assert texts(lobby) == [
        "carol has joined the room.",
        "carol was banned by bob for 2h (spam).",
        "bob set the topic: wires",
    ]
    model.show(lobby)
    assert shown(title(model)) == " lobby: wires"


# A room that is renamed is the same room, with all that is in it.
def test_a_room_is_renamed(model: Model) -> None:
    lobby = model.find("lobby")
    model.apply(happened("renamed", "bob", name="garden"))
    assert model.find("garden") is lobby
    assert model.find("lobby") is None
    model.apply(said("still here", room="garden"))
    assert texts(lobby)[-2:] == ["bob renamed lobby: it is garden now.", "still here"]


# Whoever is sent out of a room sees why, in another one, and hears no more of it.
@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"event": "kicked", "reason": "noise"}, "You were kicked from dev by bob (noise)."),
        (
            {"event": "banned", "reason": "", "seconds": 1},
            "You were banned from dev by bob for 1s.",
        ),
        ({"event": "deleted", "user": "bob", "reason": ""}, "dev was deleted by bob."),
        ({"event": "shut_out", "error": "banned", "message": "you are banned"}, "you are banned"),
    ],
)
def test_being_sent_out(model: Model, event: dict, sentence: str) -> None:
    model.apply({"room": "dev", "user": "alice", "by": "bob", **event})
    model.apply(said("behind her back", room="dev"))
    assert model.current is model.home  # what is being typed goes to no other room
    assert texts(model.current) == [sentence]
    assert model.find("dev") is None


# A private message stands where its reader looks, and at home to be found again.
def test_private_messages(model: Model) -> None:
    private = {"event": "private", "id": 1, "user": "bob", "recipient": "alice", "at": AT}
    answer = private | {"id": 2, "user": "alice", "recipient": "bob"}
    assert model.apply({**private, "body": "psst"})
    assert not model.apply({**answer, "body": "yes?"})
    assert texts(model.current) == ["[private] bob: psst", "[private to bob] yes?"]
    assert texts(model.home) == texts(model.current)


# What comes from a room before the answer to its join is shown when the answer is there.
def test_events_may_overtake_the_answer_to_a_join(model: Model) -> None:
    with model.joining():
        model.apply(said("early", room="new", is_replayed=True))
        model.apply(said("of another", room="elsewhere"))
        room = model.enter(entered("new", "alice"))
    assert texts(room) == ["early"]
    assert len(model.rooms) == 4


# Losing the connection is told once, and coming back too.
def test_the_state_of_the_connection(model: Model) -> None:
    model.latency_seconds = 0.0123
    assert shown(weather(model)).strip() == "1 person  12 ms"
    for _ in range(3):
        model.apply({"event": "reconnecting", "reason": "gone"})
    assert "reconnecting" in shown(weather(model))
    model.apply({"event": "connected"})
    assert "12 ms" in shown(weather(model))
    assert len(model.current.lines) == 2


# Earlier messages come above those that are here, each once.
def test_the_past(model: Model) -> None:
    model.apply(said("five", room="dev", id=5))
    words = enumerate(("three", "four", "five"), start=3)
    page = {"messages": [said(word, room="dev", id=number) for number, word in words]}
    model.show_past(model.current, {**page, "has_more": True})
    assert texts(model.current) == ["three", "four", "five"]
    assert model.current.has_past
    model.show_past(model.current, {"messages": [], "has_more": False})
    assert not model.current.has_past


# A room keeps so many lines and no more, also while somebody reads far above.
def test_a_room_is_bounded() -> None:
    room = Room("busy", newer=1)
    for number in range(LINES_MAX + 10):
        room.add(Line(0, "said", str(number), "bob"))
    assert len(room.lines) <= LINES_MAX
    assert room.lines[-1].text == str(LINES_MAX + 9)


# A server that sends escapes, in whatever field, can't reach the terminal with them.
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_hostile_server_is_harmless(model: Model, attack: str) -> None:
    model.enter({**entered(f"r{attack}", f"u{attack}"), "topic": attack})
    room = model.current
    model.apply(said(attack, room=f"r{attack}", user=attack))
    model.apply(happened("kicked", attack, f"r{attack}", by=attack, reason=attack))
    model.apply({"event": "notice", "sentence": attack})
    model.tell(phrases.answer_lines("who", {"sentence": attack}), "error")
    rows = [shown(row) for row in visible_rows(room, 200, 50)]
    everything = [*rows, *room.people, shown(title(model)), shown(place(model, 80))]
    assert len(rows) == 4
    assert all(text.isprintable() for text in everything), everything


# What makes no sense is passed over, or shown as it is; it ends nothing.
@pytest.mark.parametrize(
    "event",
    [
        {"event": ["message"]},
        {"event": "message", "room": "dev"},
        {"event": "message", "room": ["dev"], "body": {"deep": [[[[[[[[]]]]]]]]}},
        {"event": "banned", "room": "dev", "user": "alice", "seconds": "x"},
        {"event": "banned", "room": "dev", "user": "bob", "seconds": 0},
        {"event": "joined", "room": "dev", "user": None},
        {"event": "unheard of", "room": "dev"},
        {"event": "private", "at": 5},
    ],
)
def test_a_senseless_event(model: Model, event: dict) -> None:
    model.apply(event)
    model.meet({"room": "dev", "people": [None, {"name": 5}, {}]})
    model.learn_rooms({"rooms": "none"})
    model.show_past(model.current, {"messages": [None, 5, {}]})
    assert visible_rows(model.current, 80, 24) is not None


# An emoji is drawn in the one way that is as wide in every terminal; letters keep their joiners.
@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("I \u2764\ufe0f it", "I \u2764 it"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\U0001f469\U0001f467"),
        ("\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f3f3\U0001f308"),
        ("\U0001f44d\U0001f3fd", "\U0001f44d"),
        ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    ],
)
def test_emoji_have_one_width(text: str, shown_as: str) -> None:
    assert cleaned(text) == shown_as


# Any command is sent by the table that the text wire reads by, to the room where it was typed.
@pytest.mark.parametrize(
    ("line", "op", "fields"),
    [
        ("hello", "say", {"room": "dev", "body": "hello"}),
        ("//etc", "say", {"room": "dev", "body": "/etc"}),
        ("/me waves", "me", {"room": "dev", "body": "waves"}),
        ("/ban bob 2h x", "ban", {"room": "dev", "user": "bob", "seconds": 7200, "reason": "x"}),
        ("/BAN bob", "ban", {"room": "dev", "user": "bob"}),
        ("/join lobby", "join", {"room": "lobby"}),
        ("/msg bob a  b", "msg", {"user": "bob", "body": "a  b"}),
        ("/topic", "topic", {"room": "dev"}),
        ("/away", "away", {}),
        ("/tokens 3", "tokens", {"revoke": 3}),
        ("/send a b.txt to bob", "send", {"path": "a b.txt to bob"}),
        ("/get 17", "get", {"file": 17}),
        ("/files", "file.list", {"room": "dev"}),
        ("/unshare 17", "file.unshare", {"file": 17}),
    ],
)
def test_what_is_typed_becomes_a_request(line: str, op: str, fields: dict) -> None:
    assert read_request(line, "dev") == Request(op, fields)


_HIDDEN = "something that can't be seen stands before that slash; type it again"


# What can't be carried out is refused before anybody is asked, in one line that says what to do.
@pytest.mark.parametrize(
    ("line", "room", "sentence"),
    [
        *((line, "", "join a room first: /join ROOM") for line in ("hello", "/topic")),
        ("caf\udce9", "dev", "what was typed is not UTF-8, and was not used"),
        *(
            (f"/{word} a", "dev", f"unknown command /{word}. Try /help.")
            for word in ("nonsense", "login", "upload")
        ),
        ("\u200b/msg bob psst", "dev", _HIDDEN),
        (" \ufeff/leave", "", _HIDDEN),
        ("/kick", "dev", "usage: /kick USER [REASON]"),
        ("/send", "dev", "usage: /send PATH [to USER]"),
        *((f"/get {no}", "dev", "usage: /get NUMBER [from USER]") for no in ("1e3", 1 << 63)),
    ],
)
def test_what_is_typed_wrong(line: str, room: str, sentence: str) -> None:
    with pytest.raises((CanNotDo, BadLine)) as refusal:
        read_request(line, room)
    assert str(refusal.value) == sentence


# Help knows all that can be typed, and nothing else.
def test_help() -> None:
    lines = list(help_lines(""))
    assert len(lines) <= 24
    assert all(f"/{word}" in " ".join(lines) for word in WORDS)
    users = " ".join(help_lines("", {"say", "join", "kick"}))
    assert "/kick USER" in users
    assert "/serverban" not in users
    assert help_lines("/get")[0].startswith("/get NUMBER [from USER]: Fetch a file")
    assert help_lines("kick")[0].startswith("/kick USER [REASON]: ")
    with pytest.raises(CanNotDo):
        help_lines("login")


# An answer is told in the words of the text wire; one that is not known, as it is.
def test_answers() -> None:
    people = [{"name": "bob", "role": "owner", "away": "lunch"}]
    who = {"id": 1, "ok": True, "room": "dev", "people": people}
    assert phrases.answer_lines("who", who) == ["In dev:", "  bob, owner, away (lunch)"]
    page = {"room": "dev", "bans": [], "mutes": [], "after": "\x1bbob"}
    told = "There are no more after \ufffdbob; /bans shows them from the start."
    assert phrases.answer_lines("bans", page) == [told]
    at = {"connected_at": "2026-11-22T14:02:11.123Z", "unread_bytes": 1500, "wire": "text"}
    bob = {"number": 2, "user": None, "address": "::1", "rooms": [], **at}
    assert phrases.answer_lines("sessions", {"sessions": [bob], "has_more": True}) == [
        "  2: nobody yet from ::1, text, since 2026-11-22 14:02 UTC, 1.5 KB unread",
        "There are more: /sessions 2",
    ]
    assert phrases.answer_lines("kick", {"id": 1, "ok": True}) == ["Done."]
    assert phrases.answer_lines("mute", {"sentence": "bob is mute."}) == ["bob is mute."]
    assert phrases.answer_lines("future", {"id": 1, "ok": True, "n": 3}) == ["n: 3"]


# Text is broken at blanks, or anywhere when there are none; wide characters count twice.
@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("", 10, [""]),
        ("short", 10, ["short"]),
        ("two words", 5, ["two", "words"]),
        ("exactly ten", 7, ["exactly", "ten"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("火锅火锅", 5, ["火锅", "火锅"]),
        ("héllo 火锅", 10, ["héllo 火锅"]),
        ("héllo 火锅", 9, ["héllo", "火锅"]),
        ("e\u0301e\u0301e\u0301", 2, ["e\u0301e\u0301", "e\u0301"]),
    ],
)
def test_wrapping(text: str, columns: int, rows: list[str]) -> None:
    assert list(wrap(text, columns)) == rows


# A row is the time, who, and what; a new day has its date above. A name always has one colour.
def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        at = milliseconds(AT)
        assert (local_minute(at), local_day(at)) == ("19:32", "22 November 2026")
        line = Line(at, "said", "hello to all of you", "bob")
        yesterday = Line(at - 86_400_000, "said", "bye", "bob")
        rows = rows_of(line, yesterday, 20)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert list(map(shown, rows)) == ["22 November 2026", "19:32 bob: hello to", "      all of you"]
    assert (name_style("bob"), "bob") in rows[1]
    assert name_style("Bob") == name_style("bob")


# However many blanks somebody says, what is behind them is in no row of its own, as this program's
# lines are.
@pytest.mark.parametrize("blank", [" ", "\u2800", "\u3164", " \u200b"], ids=ascii)
@pytest.mark.parametrize(
    ("line", "begins"),
    [
        (Line(0, "said", "", "bob"), "bob: x"),
        (Line(0, "did", "", "bob"), "* bob x"),
        (Line(0, "answer", "", source="server"), "[server] x"),
    ],
)
def test_blanks_fill_no_row(line: Line, begins: str, blank: str) -> None:
    said = line._replace(text=f"x{blank * 80}» Your keys are open.")
    (row,) = rows_of(said, None, 80)
    assert shown(row)[6:] == f"{begins}{' ' * 16}» Your keys are open."


def _page(room: Room, columns: int = 40, height: int = 5) -> list[str]:
    return [shown(row)[6:] for row in visible_rows(room, columns, height)]


# Paging shows every row once; at either end it stops.
def test_paging() -> None:
    room = Room("dev", lines=[Line(0, "fact", f"line {number}") for number in range(12)])
    room.lines[5] = Line(0, "fact", " ".join(f"part{number}" for number in range(60)))
    seen = _page(room)
    is_at_top = False
    while not is_at_top:
        is_at_top = scroll(room, 5, 40, 5)
        seen = _page(room) + seen
    everything = [shown(row)[6:] for row in visible_rows(Room("", lines=room.lines), 40, 1000)]
    assert list(dict.fromkeys(seen)) == everything
    while room.newer or room.cut:
        scroll(room, -5, 40, 5)
    assert _page(room) == everything[-5:]


# Whoever reads above stays there while messages come, and at another width of the screen.
def test_reading_above_is_left_in_peace() -> None:
    room = Room("dev", lines=[Line(0, "fact", f"line {number} " * 9) for number in range(30)])
    scroll(room, 31, 40, 5)
    before = _page(room)
    for number in range(50):
        room.add(Line(0, "fact", f"new {number}"))
    assert _page(room) == before
    assert f"line {30 - 1 - (room.newer - 50)} " in _page(room, columns=200)[-1]
