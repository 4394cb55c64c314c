"""The terminal client's screen: keys go in, and what a terminal makes of it is looked at.

The server is a script here; tests/terminal/test_chat.py has a real one.
"""

import threading

import pytest
from prompt_toolkit.utils import get_cwidth

from app.client import CallRefused
from tests.kit import terminal_stage as keys
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.scenes import scene
from tests.kit.terminal_stage import Stage, said


# Where terminals disagree on the place of a cell, no single one is drawn: the row is erased, and
# drawn whole, with no mark twice; then the cursor is put where it was.
@pytest.mark.parametrize(
    "text",
    ["مرحبا بالعالم", "مُحَمَّدٌ", "ﻻ ﷺ", "שָׁלוֹם", "می‌خواهم کتاب", "สวัสดี", "नमस्ते", "👩👧 🇩🇪", "e\u0301"],
)
@scene
async def test_rows_that_terminals_draw_in_other_cells_are_drawn_whole(
    stage: Stage, text: str
) -> None:
    await stage.join("lobby")
    stage.client.happen(said(f"one {text}"))
    await stage.until(lambda: "one" in stage.bytes)
    stage.bytes = ""
    stage.client.happen(said(f"two {text}"))
    await stage.until(lambda: "two" in stage.bytes)
    rows = [row for row in stage.bytes.split("\x1b[K") if f"two {text}\x1b" in row]
    assert rows
    assert "bob" in rows[0]
    stage.client.happen(said("plain"))
    await stage.until(lambda: stage.rows[-3] == "14:02 bob: plain")
    stage.type(text)
    await stage.until(lambda: text in stage.bytes.rpartition(">")[2])
    await stage.until(lambda: stage.screen.cursor.x == get_cwidth(f"> {text}"))


# Tab completes commands, those who are here, with a colon where a line begins, and rooms.
@scene
async def test_completion(stage: Stage) -> None:
    await stage.join("lobby")
    for begun, whole in (
        ("/unm\t", "> /unmute"),
        ("bo\t", "> bob:"),
        ("so B\t", "> so bob"),
        ("/kick b\t", "> /kick bob"),
        ("/join la\t", "> /join lab"),
        ("/help toke\t", "> /help tokens"),
    ):
        stage.type(begun)
        await stage.until(lambda whole=whole: stage.typed == whole)
        stage.type(keys.CTRL_C)
        await stage.until(lambda: stage.typed == ">")


# Rooms are reached by number and one after the other; unread messages are counted where they are.
@scene
async def test_rooms(stage: Stage) -> None:
    await stage.join("lobby", "lab")
    stage.client.happen(said("unseen"), said("alice?"))
    await stage.until(lambda: "1:lobby(2!) [2:lab]" in stage.status)
    for typed, expected in (
        (keys.ALT_1, "[1:lobby] 2:lab"),
        (keys.CTRL_N, "1:lobby [2:lab]"),
        (keys.CTRL_N, "[0:home] 1:lobby"),
        (keys.CTRL_P, "1:lobby [2:lab]"),
        ("/join LOBBY\r", "[1:lobby] 2:lab"),
        ("/leave\r", "0:home [1:lab]"),
    ):
        stage.type(typed)
        await stage.until(lambda expected=expected: expected in stage.status)
    asked = [op for op, fields in stage.client.asked if op == "join"]
    assert len(asked) == 2, "a room that one is in is only shown"


# A line is said in the room where it was typed, also when another one is shown by then.
@scene
async def test_a_line_goes_where_it_was_typed(stage: Stage) -> None:
    await stage.join("lobby", "lab")
    stage.client.may_say.clear()
    stage.type("to lab\r", "to lab too\r", keys.ALT_1)
    await stage.until(lambda: "[1:lobby]" in stage.status and "2 waiting" in stage.status)
    stage.client.may_say.set()
    await stage.until(lambda: "waiting" not in stage.status)
    says = [fields for op, fields in stage.client.asked if op == "say"]
    assert [each["room"] for each in says] == ["lab", "lab"]


# A password that is asked for is neither shown nor remembered.
def test_passwords_are_not_shown(play) -> None:
    async def scene(stage: Stage) -> None:
        stage.type("/passwd\r")
        for question, password in (("old", "0ldsecret"), ("new", "n3wsecret")):
            await stage.until(lambda question=question: f"{question} password:" in stage.typed)
            stage.type(password)
            await stage.until(lambda: stage.typed.endswith("password: *********"))
            stage.type("\r")
        await stage.until(lambda: stage.typed == ">")
        passwords = {"old": "0ldsecret", "new": "n3wsecret"}
        await stage.until(lambda: ("passwd", passwords) in stage.client.asked)
        stage.type(keys.UP)
        stage.type("!")
        await stage.until(lambda: stage.typed == "> !")

    stage = play(scene)
    assert "secret" not in stage.bytes
    assert not [line for line in stage.history.get_strings() if "secret" in line]


# Whoever mistypes a password, and types it once more without looking, says it nowhere.
def test_a_wrong_password(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        stage.client.answers["passwd"] = CallRefused("login_refused", "wrong password")
        stage.type("/passwd\r")
        for _ in range(3):
            await stage.until(lambda: stage.terminal.screen.is_asking)
            known = len(stage.client.asked)
            stage.type("0ldsecret\r", "n3wsecret\r")
            await stage.until(lambda known=known: len(stage.client.asked) == known + 1)
        await stage.until(lambda: "what you type is said again" in " ".join(stage.pane))
        assert {op for op, _ in stage.client.asked} == {"rooms", "help", "join", "passwd"}

    assert "secret" not in play(scene).bytes


# What a terminal sends in another encoding is refused, and asked for again; what follows is said.
@scene
async def test_bytes_of_another_encoding(stage: Stage) -> None:
    await stage.join("lobby")
    told = "» Error: what was typed is not UTF-8, and was not used"
    stage.type("caf\udce9\r", "/passwd\r")
    await stage.until(lambda: stage.terminal.screen.is_asking)
    stage.type("0ld\r", "caf\udce9\r")
    await stage.until(lambda: sum(told in row for row in stage.pane) == 2)
    await stage.until(lambda: stage.terminal.screen.is_asking)
    stage.type("\x03", "and on\r")
    await stage.until(lambda: "say" in [op for op, _ in stage.client.asked])
    assert {op for op, _ in stage.client.asked} == {"rooms", "help", "join", "say"}


# What is typed ahead, before it is known whether the password was right, is no line either.
def test_what_is_typed_while_a_password_is_tried(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        may_answer, call = threading.Event(), stage.client.call

        def slow(op: str, **fields: str) -> dict:
            if op == "passwd":
                may_answer.wait(WAIT_SECONDS_MAX)
            return call(op, **fields)

        stage.client.call = slow
        stage.type("/passwd\r")
        await stage.until(lambda: stage.terminal.screen.is_asking)
        stage.type("0ldsecret\r", "n3wsecret\r")
        await stage.until(lambda: "one moment" in stage.typed)
        stage.type("n3wsecret\r")
        await stage.until(lambda: stage.typed == "one moment:")
        may_answer.set()
        await stage.until(lambda: stage.typed == ">")
        assert not [op for op, _ in stage.client.asked if op == "say"]

    assert "secret" not in play(scene).bytes


# Who is called hears it, unless they would rather not; what they say themselves never rings.
@pytest.mark.parametrize("has_bell", [True, False])
def test_the_bell(play, has_bell: bool) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        stage.client.happen(said("alice, come"), said("nothing"), said("alice", user="alice"))
        await stage.until(lambda: stage.pane[-1:] == ["alice: alice"])

    assert play(scene, has_bell=has_bell).screen.rings == has_bell


# Page up shows what was before, and then what the server has of before; page down comes back.
@scene
async def test_paging_through_a_room(stage: Stage) -> None:
    await stage.join("lobby")
    earlier = [{**said(f"earlier {number}"), "id": number + 1} for number in range(30)]
    stage.client.answers["history"] = {"messages": earlier, "has_more": True}
    for number in range(30):
        stage.client.happen({**said(f"late {number}"), "id": 100 + number})
    await stage.until(lambda: stage.pane[-1:] == ["bob: late 29"])
    stage.type(keys.PAGE_UP)
    await stage.until(lambda: "bob: late 0" in stage.pane and "below" in stage.status)
    await stage.until(lambda: any(op == "history" for op, _ in stage.client.asked))
    stage.client.answers["history"] = CallRefused("not_here", "you are in no room green")
    stage.type(keys.PAGE_UP)
    await stage.until(lambda: "bob: earlier 29" in stage.pane)
    stage.type(keys.PAGE_DOWN * 4)
    await stage.until(lambda: stage.pane[-1:] == ["bob: late 29"])
    assert "below" not in stage.status
    stage.type(keys.PAGE_UP)
    await stage.until(lambda: "below" in stage.status)
    stage.type("here\r")
    await stage.until(lambda: stage.pane[-1:] == ["alice: here"])


# What is refused, and that the connection is lost and back, is told where one looks.
@scene
async def test_refusals_and_losses_are_told(stage: Stage) -> None:
    stage.client.answers["kick"] = CallRefused("forbidden", "you are no moderator")
    await stage.join("lobby")
    stage.type("/kick bob\r", "/nonsense\r")
    await stage.until(lambda: "» Error: unknown command /nonsense. Try /help." in stage.pane)
    assert "[server] Error: you are no moderator" in stage.pane
    stage.client.happen({"event": "reconnecting", "reason": "gone"})
    await stage.until(lambda: "reconnecting..." in stage.status)
    stage.client.answers["who"] = {"room": "lobby", "people": [{"name": "alice"}]}
    stage.client.happen({"event": "connected"})
    await stage.until(lambda: "1 person  7 ms" in stage.status)


# What ends the client ends the program, which says why.
def test_the_end_of_the_client(play) -> None:
    async def scene(stage: Stage) -> None:
        stage.client.happen(CallRefused("login_refused", "wrong name or password"))
        await stage.until(lambda: not stage.app.is_running)

    with pytest.raises(CallRefused, match="wrong name or password"):
        play(scene)


# Names have colours, unless somebody asked for none: then there is bold and reverse at most.
@pytest.mark.parametrize("no_color", [False, True])
def test_colours(play, monkeypatch: pytest.MonkeyPatch, no_color: bool) -> None:
    monkeypatch.setenv("NO_COLOR", "1" if no_color else "")

    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        stage.client.happen(said("hello"), said("alice!"))
        await stage.until(lambda: stage.pane[-1:] == ["bob: alice!"])
        cells = [cell for row in stage.screen.buffer.values() for cell in row.values()]
        assert {cell.fg for cell in cells if cell.data.strip()} > {"default"} or no_color
        assert not no_color or {cell.fg for cell in cells} | {cell.bg for cell in cells} == {
            "default"
        }

    play(scene)
