"""What is typed and pasted in the terminal client, and what of it waits; the server is a script."""

from app.client import CallRefused, ConnectionLost
from tests.kit.scenes import scene
from tests.kit.terminal_stage import CTRL_C, ScriptedClient, Stage


# Several lines that are pasted are shown as they are, and said one by one when that is confirmed.
@scene
async def test_pasting_several_lines(stage: Stage) -> None:
    await stage.join("lobby")
    stage.type("\x1b[200~one\ntwo\r\n\nthree\x1b[201~")
    await stage.until(lambda: stage.rows[-4].startswith("> one") and stage.typed == "three")
    stage.type("\r")
    await stage.until(lambda: "alice: three" in stage.pane)
    assert stage.pane[-3:] == ["alice: one", "alice: two", "alice: three"]


# What is pasted is text, whatever it begins with; in a command it has one line, and so has an
# answer that is not shown.
@scene
async def test_what_is_pasted_is_no_command(stage: Stage) -> None:
    await stage.join("lobby")
    stage.type("\x1b[200~one\n/leave\n/quit\x1b[201~", "\r")
    await stage.until(lambda: "alice: /quit" in stage.pane)
    assert stage.pane[-3:] == ["alice: one", "alice: /leave", "alice: /quit"]
    stage.type("/topic ", "\x1b[200~a\nb\n\x1b[201~", "\r")
    await stage.until(lambda: ("topic", {"room": "lobby", "text": "a b"}) in stage.client.asked)


# A long paste is asked about; Ctrl-C gives it up, and Return again says it.
@scene
async def test_a_long_paste_is_asked_about(stage: Stage) -> None:
    await stage.join("lobby")
    lines = "\n".join(f"line {number}" for number in range(30))
    for confirmed, key in ((False, CTRL_C), (True, "\r")):
        stage.type(f"\x1b[200~{lines}\x1b[201~", "\r")
        await stage.until(lambda: any("That is 30 lines." in row for row in stage.pane))
        assert not any(op == "say" for op, _ in stage.client.asked)
        stage.type(key)
        await stage.until(lambda: stage.typed == ">")
        if confirmed:
            await stage.until(lambda: "alice: line 29" in stage.pane)


# A line that is too long for the server comes back to be shortened.
@scene
async def test_a_line_that_is_too_long_comes_back(stage: Stage) -> None:
    await stage.join("lobby")
    stage.client.answers["say"] = CallRefused("line_too_long", "a line has at most 10 bytes")
    stage.type("much too long\r")
    await stage.until(lambda: stage.typed == "> much too long")


# Ctrl-Z is for the shell.
@scene
async def test_to_the_shell(stage: Stage, monkeypatch) -> None:
    times: list[bool] = []
    monkeypatch.setattr(stage.app, "suspend_to_background", lambda: times.append(True))
    stage.type("half\x1a", " a line")
    await stage.until(lambda: stage.typed == "> half a line")
    assert times == [True]


# While the server does not answer: commands overtake lines, help comes at once, what waits can be
# dropped, and who leaves is told what of it is kept. It is said at the next start, with the same
# txn, in the rooms of the last time.
def test_what_waits(play) -> None:
    async def first(stage: Stage) -> None:
        await stage.join("lobby")
        stage.client.may_say.clear()
        stage.type("one\r", "two\r")
        await stage.until(lambda: "2 waiting" in stage.status)
        stage.client.happen({"event": "reconnecting", "reason": "gone"})
        await stage.until(lambda: "reconnecting" in stage.status)
        stage.type("/msg bob three\r", "/who\r")
        await stage.until(lambda: "4 waiting" in stage.status)
        stage.type("/help\r")
        await stage.until(lambda: any("/servermute" in row for row in stage.pane))
        stage.type("/quit\r")
        told = "2 lines will be said at the next start, and 1 line will be lost."
        await stage.until(lambda: told in " ".join(" ".join(stage.pane).split()))
        stage.type("/quit\r")

    async def second(stage: Stage) -> None:
        await stage.until(lambda: "alice: two" in stage.pane)
        asked = [(op, fields) for op, fields in stage.client.asked if op in ("join", "say")]
        assert asked[0] == ("join", {"room": "lobby", "create": False})
        assert [fields["body"] for op, fields in asked[1:]] == ["one", "two"]
        assert all(fields["txn"] for op, fields in asked[1:])
        stage.client.may_say.clear()
        stage.type("three\r", "four\r", "five\r")
        await stage.until(lambda: "3 waiting" in stage.status)
        stage.type("/drop\r")
        await stage.until(lambda: any("2 lines forgotten." in row for row in stage.pane))
        stage.client.may_say.set()
        await stage.until(lambda: "alice: three" in stage.pane)

    async def third(stage: Stage) -> None:
        await stage.until(lambda: "[1:lobby]" in stage.status)
        assert not [op for op, _ in stage.client.asked if op == "say"]

    play(first)
    play(second)
    play(third)


# A start that gets nowhere forgets neither the rooms of the last time nor what was not said there.
def test_a_start_that_gets_nowhere(play, monkeypatch) -> None:
    async def first(stage: Stage) -> None:
        await stage.join("lobby")
        stage.client.may_say.clear()
        stage.type("one\r")
        await stage.until(lambda: stage.terminal.model.waiting == 1)
        stage.type("/quit\r", "/quit\r")

    async def second(stage: Stage) -> None:
        await stage.until(lambda: stage.typed == ">")

    async def third(stage: Stage) -> None:
        await stage.until(lambda: "alice: one" in stage.pane)

    play(first)
    with monkeypatch.context() as patched:
        call = ScriptedClient.call

        def lost(client: ScriptedClient, op: str, **fields: str) -> dict:
            if op == "join":
                raise ConnectionLost("gone")
            return call(client, op, **fields)

        patched.setattr(ScriptedClient, "call", lost)
        play(second)
    play(third)
