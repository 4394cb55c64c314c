"""The NDJSON wire: requests of programs, and the lines for them. Pure.

One JSON object a line each way. Every request gets one answer, with its id. Requests are read one
at a time, each after the one before it was carried out. Only messages are answered later, when they
are stored, so that a program can send a thousand of them in one go.

Some requests may be long, in sessions that have logged in and put a device. Before that, no client
can make us hold more than a short line.
"""

from collections.abc import Iterator

from app.bounds import LONG_LINE_BYTES_MAX, ROOMS_A_SESSION_MAX
from app.errors import BadLine, Refusal
from app.protocol import devices, server, talk
from app.protocol.command import Check, Command, let_all
from app.protocol.event import Answer, Event
from app.protocol.talk import Emote, Say, Tell
from app.wires.lines import LineSplitter
from app.wires.ndjson.events import render, render_answer, render_done
from app.wires.ndjson.requests import parse_id, parse_object, parse_request
from app.wires.wire import Wire

_NO_ID = "null"
_ANSWERED_WHEN_STORED = (Say, Emote, Tell)


class NdjsonWire(Wire):
    """One connection's dialogue: bytes to commands, events to bytes."""

    __slots__ = (
        "_line_bytes_max",
        "_lines",
        "_owes_answer",
        "tag",
    )

    name = "ndjson"
    rooms_max = ROOMS_A_SESSION_MAX
    render = staticmethod(render)

    def __init__(self, line_bytes_max: int) -> None:
        self._lines = LineSplitter(line_bytes_max)
        self._line_bytes_max = line_bytes_max
        self.tag = _NO_ID  # the id of the request that is being carried out
        self._owes_answer = False

    @staticmethod
    def begins(first_bytes: bytes) -> bool:
        """See Wire."""
        return first_bytes.startswith(b"{")

    def feed(self, data: bytes, check: Check = let_all) -> Iterator[Command | Refusal | None]:
        """Yield the client's requests, one at a time; call `done` after each.

        None is a blank line: it asks for nothing, but counts as a line.
        """
        for line in self._lines.feed(data):
            is_blank = line is not None and not line.strip()
            yield None if is_blank else self._read(line, check)

    @property
    def free_bytes_max(self) -> int:
        """The bytes that may come without a line that counts: as many as one line may have."""
        return self._lines.line_bytes_max

    def take_output(self) -> bytes:
        """Return bytes to send besides answers: none."""
        return b""

    def show(self, event: Event) -> bytes:
        """Return an event's bytes, for this session alone."""
        if not isinstance(event, Answer):
            return render(event)
        if isinstance(event, (talk.Stored, server.Refused)) and event.tag:
            return render_answer(event, event.tag)  # late, perhaps; or soon, under the same id
        if isinstance(event, devices.DeviceKnown):
            self._lines.line_bytes_max = max(self._line_bytes_max, LONG_LINE_BYTES_MAX)
        self._owes_answer = False
        return render_answer(event, self.tag)

    def show_last(self, event: Event) -> bytes:
        """Return the bytes of the session's last event."""
        return self.show(event)

    def done(self) -> bytes:
        """Return the answer to the last request, unless it was answered."""
        answer = render_done(self.tag) if self._owes_answer else b""
        self.tag, self._owes_answer = _NO_ID, False
        return answer

    def _read(self, line: bytes | None, check: Check) -> Command | Refusal:
        self._owes_answer = True
        try:
            if line is None:
                raise self._too_long(self._lines.line_bytes_max)
            request = parse_object(line)
            self.tag = parse_id(request)
            command = parse_request(request, check)
            if len(line) > self._line_bytes_max and not command.is_long:
                raise self._too_long(self._line_bytes_max)
        except Refusal as refusal:
            return refusal
        self._owes_answer = not isinstance(command, _ANSWERED_WHEN_STORED)
        return command

    @staticmethod
    def _too_long(line_bytes_max: int) -> BadLine:
        sentence = f"a line has at most {line_bytes_max} bytes; yours was not used"
        return BadLine(sentence, code="line_too_long")
