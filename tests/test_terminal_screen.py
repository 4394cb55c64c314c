"""The terminal client's screen: keys go in, and what a terminal makes of it is looked at.

The server is a script here; tests/test_terminal_chat.py has a real one.
"""

import asyncio
import io
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output

from app.client import CallRefused, ConnectionLost
from app.terminal.application import Terminal
from app.terminal.memory import InputHistory, Keeping
from app.terminal.transfers import Server
from tests.client import WAIT_SECONDS_MAX

AT = "2026-11-22T14:02:11.123Z"
COLUMNS, ROWS = 80, 24
ALT_0, ALT_1, CTRL_C, CTRL_D, CTRL_N, CTRL_P = "\x1b0", "\x1b1", "\x03", "\x04", "\x0e", "\x10"
PAGE_UP, PAGE_DOWN, UP = "\x1b[5~", "\x1b[6~", "\x1b[A"


class ScriptedClient:
    """Stands for app.client.Client: answers as it is told, and notes what it was asked."""

    user = "alice"

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.answers: dict[str, object] = {"rooms": {"rooms": [{"name": "lobby"}, {"name": "lab"}]}}
        self.is_closed = False
        self.may_say = threading.Event()
        self.may_say.set()
        self._events: queue.Queue = queue.Queue()

    def __enter__(self) -> "ScriptedClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True
        self.may_say.set()
        self._events.put(None)

    def happen(self, *events: dict | Exception) -> None:
        for event in events:
            self._events.put(event)

    def events(self) -> Iterator[dict]:
        while event := self._events.get():
            if isinstance(event, Exception):
                raise event
            yield event

    def call(self, op: str, **fields: str) -> dict:
        if op == "say":
            self.may_say.wait(WAIT_SECONDS_MAX)
            if self.is_closed:
                raise ConnectionLost("closed")
            self.happen(said(fields["body"], room=fields["room"], user=self.user))
        self.asked.append((op, fields))
        answer = self.answers.get(op, {})
        if isinstance(answer, Exception):
            raise answer
        if op == "join":
            answer = {"room": fields["room"], "topic": "", "users": ["alice", "bob"]}
        return {"id": 1, "ok": True, **answer}

    def ping(self) -> float:
        return 0.007


def said(body: str, *, room: str = "lobby", user: str = "bob") -> dict:
    event = {"event": "message", "room": room, "id": 1, "user": user, "body": body}
    return {**event, "at": AT, "is_action": False}


class _Screen(pyte.Screen):
    """Counts the bells."""

    rings = 0

    def bell(self, *_: object) -> None:
        self.rings += 1


class Stage:
    """A terminal in memory, the application on it, and the client behind."""

    def __init__(self, folder: Path, pipe, *, has_bell: bool = True) -> None:
        self.client = ScriptedClient()
        self.history = InputHistory(folder / "history")
        self.screen = _Screen(COLUMNS, ROWS)
        self.bytes = ""
        self._feed = pyte.Stream(self.screen)
        self.after_write: Callable[[], None] = lambda: None
        self._pipe = pipe
        depth = ColorDepth.from_env() or ColorDepth.DEPTH_4_BIT
        output = Vt100_Output(self, lambda: Size(self.screen.lines, self.screen.columns), "xterm")
        output.default_color_depth = depth
        server = Server("127.0.0.1:1")
        self.terminal = Terminal(
            self.client,
            server,
            self.history,
            folder,
            Keeping.of(folder, server.address, "alice"),
            has_bell=has_bell,
            input=pipe,
            output=output,
        )
        self.app = self.terminal.screen.application

    # The file that the output writes to.

    encoding = "utf-8"

    def write(self, text: str) -> None:
        self.bytes += text
        self._feed.feed(text)

    def flush(self) -> None:
        self.after_write()

    def fileno(self) -> int:
        raise io.UnsupportedOperation

    def isatty(self) -> bool:
        return True

    # What a person does and sees.

    def type(self, *keys: str) -> None:
        self._pipe.send_text("".join(keys))

    @property
    def typed(self) -> str:
        """The line at the bottom."""
        return self.rows[-1]

    @property
    def status(self) -> str:
        return self.rows[-2]

    @property
    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display]

    @property
    def pane(self) -> list[str]:
        """What was said: the rows between the bars that have something, without the time."""
        return [row[6:] for row in self.rows[1:-2] if row]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the screen shows something."""
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS_MAX
        while not condition():
            assert asyncio.get_running_loop().time() < deadline, "\n".join(self.rows)
            await asyncio.sleep(0.005)

    async def join(self, *rooms: str) -> None:
        for room in rooms:
            self.type(f"/join {room}\r")
            await self.until(lambda room=room: f":{room}]" in self.status)


Scene = Callable[[Stage], object]


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., Stage]:
    """Return what runs a scene on a stage, and leaves at its end."""

    def run(scene: Scene, **options: object) -> Stage:
        async def evening() -> Stage:
            with create_pipe_input() as pipe:
                stage = Stage(tmp_path, pipe, **options)
                running = asyncio.create_task(stage.terminal.run())
                await stage.until(lambda: "7 ms" in stage.status or running.done())
                await scene(stage)
                if not running.done():
                    stage.type(CTRL_C, CTRL_D)
                await asyncio.wait_for(running, WAIT_SECONDS_MAX)
                return stage

        return asyncio.run(evening())

    return run


# While messages pour in, the half-typed line stands whole after every single drawing.
def test_a_flood_does_not_tear_the_typed_line(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        stage.type("héllo 火锅")
        await stage.until(lambda: "火锅" in stage.typed.replace(" ", ""))
        half_typed = stage.typed
        broken = []
        stage.after_write = lambda: stage.typed == half_typed or broken.append(stage.typed)
        for number in range(300):
            stage.client.happen(said(f"{number} 火锅 wide \u202e \x1b[2J and bob"))
            await asyncio.sleep(0)
        await stage.until(lambda: stage.pane and stage.pane[-1].startswith("bob: 299"))
        stage.after_write = lambda: None
        assert half_typed.replace(" ", "") == ">héllo火锅"
        assert not broken
        assert [int(row.split()[1]) for row in stage.pane] == list(range(279, 300))
        stage.type(" enough\r")
        await stage.until(lambda: stage.client.asked[-1][0] == "say")
        assert stage.client.asked[-1][1]["body"] == "héllo 火锅 enough"

    play(scene)


# Tab completes commands, those who are here, with a colon where a line begins, and rooms.
def test_completion(play) -> None:
    async def scene(stage: Stage) -> None:
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
            stage.type(CTRL_C)
            await stage.until(lambda: stage.typed == ">")

    play(scene)


# Rooms are reached by number and one after the other; unread messages are counted where they are.
def test_rooms(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby", "lab")
        stage.client.happen(said("unseen"), said("alice?"))
        await stage.until(lambda: "1:lobby(2!) [2:lab]" in stage.status)
        for keys, expected in (
            (ALT_1, "[1:lobby] 2:lab"),
            (CTRL_N, "1:lobby [2:lab]"),
            (CTRL_N, "[0:home] 1:lobby"),
            (CTRL_P, "1:lobby [2:lab]"),
            ("/join LOBBY\r", "[1:lobby] 2:lab"),
            ("/leave\r", "0:home [1:lab]"),
        ):
            stage.type(keys)
            await stage.until(lambda expected=expected: expected in stage.status)
        asked = [op for op, fields in stage.client.asked if op == "join"]
        assert len(asked) == 2, "a room that one is in is only shown"

    play(scene)


# A line is said in the room where it was typed, also when another one is shown by then.
def test_a_line_goes_where_it_was_typed(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby", "lab")
        stage.client.may_say.clear()
        stage.type("to lab\r", "to lab too\r", ALT_1)
        await stage.until(lambda: "[1:lobby]" in stage.status and "2 waiting" in stage.status)
        stage.client.may_say.set()
        await stage.until(lambda: "waiting" not in stage.status)
        says = [fields for op, fields in stage.client.asked if op == "say"]
        assert [each["room"] for each in says] == ["lab", "lab"]

    play(scene)


# Several lines that are pasted are shown as they are, and said one by one when that is confirmed.
def test_pasting_several_lines(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        stage.type("\x1b[200~one\ntwo\r\n\nthree\x1b[201~")
        await stage.until(lambda: stage.rows[-4].startswith("> one") and stage.typed == "three")
        stage.type("\r")
        await stage.until(lambda: "alice: three" in stage.pane)
        assert stage.pane[-3:] == ["alice: one", "alice: two", "alice: three"]

    play(scene)


# What is pasted is text, whatever it begins with; in a command it has one line, and so has an
# answer that is not shown.
def test_what_is_pasted_is_no_command(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        stage.type("\x1b[200~one\n/leave\n/quit\x1b[201~", "\r")
        await stage.until(lambda: "alice: /quit" in stage.pane)
        assert stage.pane[-3:] == ["alice: one", "alice: /leave", "alice: /quit"]
        stage.type("/topic ", "\x1b[200~a\nb\n\x1b[201~", "\r")
        await stage.until(lambda: ("topic", {"room": "lobby", "text": "a b"}) in stage.client.asked)

    play(scene)


# A long paste is asked about; Ctrl-C gives it up, and Return again says it.
def test_a_long_paste_is_asked_about(play) -> None:
    async def scene(stage: Stage) -> None:
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

    play(scene)


# A line that is too long for the server comes back to be shortened.
def test_a_line_that_is_too_long_comes_back(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        stage.client.answers["say"] = CallRefused("line_too_long", "a line has at most 10 bytes")
        stage.type("much too long\r")
        await stage.until(lambda: stage.typed == "> much too long")

    play(scene)


# Ctrl-Z is for the shell.
def test_to_the_shell(play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stage: Stage) -> None:
        times: list[bool] = []
        monkeypatch.setattr(stage.app, "suspend_to_background", lambda: times.append(True))
        stage.type("half\x1a", " a line")
        await stage.until(lambda: stage.typed == "> half a line")
        assert times == [True]

    play(scene)


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
        stage.type(UP)
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
def test_paging_through_a_room(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join("lobby")
        earlier = [{**said(f"earlier {number}"), "id": number + 1} for number in range(30)]
        stage.client.answers["history"] = {"messages": earlier, "has_more": True}
        for number in range(30):
            stage.client.happen({**said(f"late {number}"), "id": 100 + number})
        await stage.until(lambda: stage.pane[-1:] == ["bob: late 29"])
        stage.type(PAGE_UP)
        await stage.until(lambda: "bob: late 0" in stage.pane and "below" in stage.status)
        await stage.until(lambda: any(op == "history" for op, _ in stage.client.asked))
        stage.client.answers["history"] = CallRefused("not_here", "you are in no room green")
        stage.type(PAGE_UP)
        await stage.until(lambda: "bob: earlier 29" in stage.pane)
        stage.type(PAGE_DOWN * 4)
        await stage.until(lambda: stage.pane[-1:] == ["bob: late 29"])
        assert "below" not in stage.status
        stage.type(PAGE_UP)
        await stage.until(lambda: "below" in stage.status)
        stage.type("here\r")
        await stage.until(lambda: stage.pane[-1:] == ["alice: here"])

    play(scene)


# What is refused, and that the connection is lost and back, is told where one looks.
def test_refusals_and_losses_are_told(play) -> None:
    async def scene(stage: Stage) -> None:
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

    play(scene)


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
