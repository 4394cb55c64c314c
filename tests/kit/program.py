"""A program at the NDJSON wire. Whatever it is sent is held against the schema, line by line."""

import itertools
import json
from collections import deque
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from app.wires.ndjson.schema import schema
from tests.kit.client import Client

Line = dict[str, Any]

_SCHEMA = schema()


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$defs": _SCHEMA["$defs"], "$ref": f"#/$defs/{name}"})


def check(name: str, line: object) -> None:
    """Check that a line is what the schema defines by that name."""
    error = next(iter(_validator(name).iter_errors(line)), None)
    assert error is None, f"{line} is no {name}: {error.message}"


def check_sent(line: Line, request: Line | None) -> None:
    """Check a line that a program is sent, and the request that it answers, if that is known."""
    if "event" in line:
        check(f"event_{line['event']}", line)
    elif not line["ok"]:
        check("refusal", line)
    elif request is None:
        check("line", line)
    else:
        check(f"answer_{request['op']}", line)
        check(f"request_{request['op']}", request)


class Program(Client):
    """Sends requests with ids of its own, and keeps events until they are looked at."""

    def __init__(self, port: int, **options: Any) -> None:
        super().__init__(port, line_end="\n", **options)
        self.events: deque[Line] = deque()
        self.token: str | None = None  # of a login that is to be remembered
        self._ids = itertools.count(1)
        self.requests: dict[object, Line] = {}
        self._checked_bytes = 0

    def send(self, data: bytes) -> None:
        """Send bytes; whole lines that are requests are remembered for their answers."""
        for line in data.splitlines():
            try:
                request = json.loads(line)
                if request.get("id") is not None:
                    self.requests[request["id"]] = request
            except (ValueError, AttributeError, TypeError, RecursionError):
                continue  # it is no request, and will be told so
        super().send(data)

    def ask(self, op: str, **fields: Any) -> int:
        """Send a request, and return its id."""
        number = next(self._ids)
        self.type(json.dumps({"id": number, "op": op, **fields}))
        return number

    def answer(self, number: object) -> Line:
        """Return the answer to a request, which comes next but for events."""
        while True:
            line = json.loads(self.expect("\n"))
            if "event" not in line:
                assert line["id"] == number, f"waited for the answer to {number}, got {line}"
                return line
            self.events.append(line)

    def call(self, op: str, **fields: Any) -> Line:
        """Send a request, and return its answer, which must be that it is done."""
        answer = self.answer(self.ask(op, **fields))
        assert answer["ok"], answer
        return answer

    def say(self, *bodies: str, **fields: Any) -> list[int]:
        """Say things in one go, and return their ids."""
        asked = [self.ask("say", body=body, **fields) for body in bodies]
        return [self.answer(number)["message_id"] for number in asked]

    def refused(self, op: str, **fields: Any) -> str:
        """Send a request, and return the code with which it is refused."""
        answer = self.answer(self.ask(op, **fields))
        assert not answer["ok"], answer
        return answer["error"]

    def event(self, name: str = "message", /, **fields: object) -> Line:
        """Return the next event, which must be this one, with these fields."""
        line = self.events.popleft() if self.events else json.loads(self.expect("\n"))
        assert line.get("event") == name, f"expected {name}, got {line}"
        assert line | fields == line, f"expected {fields}, got {line}"
        return line

    def register(self, name: str, password: str = "secret", **fields: Any) -> "Program":
        """Make an account and log in; returns itself."""
        self.name = name
        self.token = self.call("register", name=name, password=password, **fields).get("token")
        return self

    def log_in(
        self, name: str, password: str = "secret", token: str = "", **fields: Any
    ) -> "Program":
        """Log in, with a token if there is one; returns itself."""
        self.name = name
        how = {"token": token} if token else {"name": name, "password": password}
        self.token = self.call("login", **how, **fields).get("token")
        return self

    def join(self, room: str) -> "Program":
        """Enter a room; what is replayed stays to be read. Returns itself."""
        self.room = room
        self.call("join", room=room)
        return self

    def catch_up(self) -> list[Line]:
        """Return the events that came until all that was asked up to now was answered."""
        self.call("ping")
        caught, self.events = list(self.events), deque()
        return caught

    def expect_nothing_more(self) -> None:
        """Check that nothing came but the answer to a question that is asked now."""
        assert self.catch_up() == []

    @property
    def lines(self) -> list[Line]:
        """All whole lines that ever came."""
        whole, _, _ = bytes(self.everything).rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]

    def receive_end(self) -> bytes:
        """See Client."""
        data = super().receive_end()
        self._check()
        return data

    def _receive_more(self, what: str) -> None:
        super()._receive_more(what)
        self._check()

    def _check(self) -> None:
        end = self.everything.rfind(b"\n") + 1
        for line in bytes(self.everything[self._checked_bytes : end]).splitlines():
            read = json.loads(line)
            check_sent(read, self.requests.get(read.get("id")))
        self._checked_bytes = end
