"""A third wire is a class, and one line in WIRES."""

from collections.abc import Callable, Iterator
from dataclasses import asdict

from app.errors import BadLine, Refusal
from app.protocol.accounts import Register
from app.protocol.command import Check, Command, let_all
from app.protocol.event import Event
from app.protocol.moderation import Kick
from app.protocol.rooms import Join, Leave
from app.protocol.talk import Ignore, Say
from app.wires.lines import LineSplitter
from app.wires.wire import Wire
from tests.kit.prepared import name_of
from tests.kit.server_process import ServerProcess

COMMANDS = {kind.op: kind for kind in (Register, Join, Say, Kick, Leave, Ignore)}


class FlagWire(Wire):
    """`~op argument argument`, and an event a line with all that is in it."""

    __slots__ = ("_lines",)

    name = "flags"
    rooms_max = 1
    tag = ""

    def __init__(self, line_bytes_max: int) -> None:
        self._lines = LineSplitter(line_bytes_max)

    @staticmethod
    def begins(first_bytes: bytes) -> bool:
        return first_bytes.startswith(b"~")

    @staticmethod
    def render(event: Event) -> bytes:
        return f"~{type(event).__name__} {asdict(event)}\n".encode()

    @property
    def free_bytes_max(self) -> int:
        return self._lines.line_bytes_max

    def feed(self, data: bytes, check: Check = let_all) -> Iterator[Command | Refusal | None]:
        for line in self._lines.feed(data):
            op, *arguments = (line or b"").decode().removeprefix("~").split()
            kind = COMMANDS.get(op)
            if kind is None:
                yield BadLine(f"there is no flag {op}", code="unknown_command")
            else:
                check(kind)
                yield kind(*arguments)

    def take_output(self) -> bytes:
        return b""

    def show(self, event: Event) -> bytes:
        return self.render(event)

    def show_last(self, event: Event) -> bytes:
        return self.render(event)

    def done(self) -> bytes:
        return b""


def _add_wire() -> None:
    from app.wires import wires

    wires.WIRES = (FlagWire, *wires.WIRES)


# It can come in, talk and be told all that happens, also to itself, as those on other wires are:
# each fact with its fields, to be said in its own words.
def test_a_third_wire(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server(prepared_by=name_of(_add_wire))
    flags = server.connect(line_end="\n")
    flags.type("~register alice secret", "~dance", "~say hello", "~join den", "~say ahoy")
    flags.expect("~LoggedIn {'user': 'alice'")
    flags.expect("~Refused {'code': 'unknown_command', 'sentence': 'there is no flag dance'")
    flags.expect(
        "~Refused {'code': 'no_room', 'sentence': 'join a room first', 'tag': '', 'remedy': "
    )
    flags.expect("Remedy(help='join', number=None)}")
    flags.expect("~Entered {'room': 'den'")
    flags.expect("~Said {'room': 'den', 'user': 'alice', 'body': 'ahoy'")
    bob = server.connect().register("bob").join("den")
    bob.expect_line(r"\[..:..\] alice: ahoy")
    flags.expect("~Joined {'room': 'den', 'user': 'bob'}")
    carol = server.program().register("carol").join("den")
    carol.say("hello")
    for told in ("~Joined {'room': 'den', 'user': 'carol'}", "'body': 'hello'"):
        flags.expect(told)
    assert "flags" in {each["wire"] for each in server.operate("sessions")["sessions"]}
    flags.type("~kick bob")
    flags.expect("~Kicked {'room': 'den', 'user': 'bob', 'by': 'alice', 'reason': ''}")
    bob.expect("You were kicked")
    flags.type("~ignore carol")
    flags.expect("~IgnoreBegun {'user': 'carol'}")
    server.stop_before_its_clients()
    flags.expect("~Stopped {'says_goodbye': True}")
