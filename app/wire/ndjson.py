"""The NDJSON wire: what programs send, and what they are sent. Pure.

One JSON object a line each way. Every request gets one answer, with its id; requests are read one
at a time, each when what the one before it asked was done. Only what is said is answered later,
when it is stored, so that a program can say a thousand things in one go.
"""

from collections.abc import Iterator

from app import events
from app.commands import Command, Say
from app.errors import BadLine, Refusal
from app.events import Event
from app.settings import ROOMS_A_SESSION_MAX
from app.wire.lines import LineSplitter
from app.wire.ndjson_events import render, render_answer, render_done
from app.wire.ndjson_requests import parse_id, parse_object, parse_request

_NO_ID = "null"


class NdjsonWire:
    """One connection's dialogue: bytes to commands, events to bytes."""

    render = staticmethod(render)  # of what everybody in a room is shown
    rooms_max = ROOMS_A_SESSION_MAX

    def __init__(self, line_bytes_max: int) -> None:
        self._lines = LineSplitter(line_bytes_max)
        self._line_bytes_max = line_bytes_max
        self.tag = _NO_ID  # the id of the request that is being carried out
        self._owes_answer = False

    def feed(self, data: bytes) -> Iterator[Command | Refusal]:
        """Yield what the client asks, one request at a time; call `done` after each."""
        for line in self._lines.feed(data):
            if line is None or line.strip():
                self._owes_answer = True
                yield self._read(line)

    def take_output(self) -> bytes:
        """Return what is to be sent besides answers: nothing."""
        return b""

    def show(self, event: Event) -> bytes:
        """Return what shows the session an event that concerns it alone."""
        if not isinstance(event, events.Answer):
            return render(event)
        late_tag = event.tag if isinstance(event, (events.Stored, events.Refused)) else ""
        if late_tag in ("", self.tag):
            self._owes_answer = False
        return render_answer(event, late_tag or self.tag)

    def show_last(self, event: Event) -> bytes:
        """Return what shows the session its last event."""
        return self.show(event)

    def done(self) -> bytes:
        """Return what ends the answer to the request that was carried out, if it has none yet."""
        answer = render_done(self.tag) if self._owes_answer else b""
        self.tag, self._owes_answer = _NO_ID, False
        return answer

    def _read(self, line: bytes | None) -> Command | Refusal:
        try:
            if line is None:
                raise BadLine(
                    f"a line has at most {self._line_bytes_max} bytes; yours was not used",
                    code="line_too_long",
                )
            request = parse_object(line)
            self.tag = parse_id(request)
            command = parse_request(request)
        except Refusal as refusal:
            return refusal
        if isinstance(command, Say):
            self._owes_answer = False  # it comes when the message is stored
        return command
