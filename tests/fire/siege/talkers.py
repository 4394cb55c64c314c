"""A mass that talks: programs say numbered things as fast as they may, and note the answers."""

import json
import selectors
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tests.fire.chaos.server import token_of
from tests.fire.siege.attackers import READ_BYTES, line, open_socket, sources

UNDER_WAY_MAX = 30  # messages of one program that have no answer yet


class Answer(NamedTuple):
    """What became of a message: the id that it got, or the code of the refusal."""

    body: str
    message_id: int | None
    error: str


class Talk(NamedTuple):
    """All that a program said, and all answers, both in their order."""

    said: list[str]
    answers: list[Answer]

    @property
    def not_answered_once(self) -> int:
        """How many of its messages have no answer, or more than one."""
        answers = Counter(answer.body for answer in self.answers)
        return sum(answers[body] != 1 for body in self.said)


class _Talker:
    """A program in a room."""

    def __init__(self, port: int, source: str, name: str, room: str, body_chars: int) -> None:
        self.name = name
        self._padding = "x" * body_chars
        self._room = room
        self._rest = b""
        self._unsent = line("login", token=token_of(name)) + line("join", room=room)
        self.said: list[str] = []
        self.answers: list[Answer] = []
        self.socket = open_socket(port, source)

    @property
    def under_way(self) -> int:
        """How many of its messages have no answer."""
        return len(self.said) - len(self.answers)

    def talk(self) -> None:
        """Say something, if not too much is under way; send what can be sent."""
        while self.under_way < UNDER_WAY_MAX:
            body = f"{self.name} {len(self.said)} {self._padding}"
            self._unsent += line("say", id=len(self.said), room=self._room, body=body)
            self.said.append(body)
        self.send()

    def send(self) -> None:
        """Send what is left to send, as far as that goes now."""
        if self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return

    def read(self) -> None:
        """Read what came. Raises ConnectionResetError when it was cut."""
        data = self.socket.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError(f"{self.name} was cut: {self._rest!r}")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for each in lines:
            answer = json.loads(each)
            if isinstance(answer.get("id"), int) and "event" not in answer:
                body = self.said[answer["id"]]
                error = answer.get("error", "")
                self.answers.append(Answer(body, answer.get("message_id"), error))


def talk(
    port: int, names: Sequence[str], room: str, body_chars: int, seconds: float, wait_seconds: float
) -> list[Talk]:
    """Let all talk for so long, then wait for the answers; return what became of each."""
    addresses = sources(7)
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        talkers = []
        for name in names:
            talker = _Talker(port, next(addresses), name, room, body_chars)
            talker.send()
            talkers.append(talker)
            selector.register(talker.socket, selectors.EVENT_READ, talker)
        while (elapsed := time.monotonic() - began) < seconds + wait_seconds:
            if elapsed > seconds and not any(talker.under_way for talker in talkers):
                break
            for talker in talkers:
                talker.talk() if elapsed < seconds else talker.send()
            for key, _ in selector.select(0.02):
                key.data.read()
    for talker in talkers:
        talker.socket.close()
    return [Talk(talker.said, talker.answers) for talker in talkers]
