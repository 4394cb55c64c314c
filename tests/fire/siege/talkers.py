"""A mass that talks: programs say numbered things as fast as they may, and note the answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from tests.fire.chaos.server import token_of
from tests.fire.siege.attackers import sources
from tests.kit.async_program import Line, Program
from tests.kit.client import until

UNDER_WAY_MAX = 30  # messages of one program that have no answer yet
PAUSE_SECONDS = 0.02


class Answer(NamedTuple):
    """What became of a message: the id that it got, or the code of the refusal."""

    body: str
    message_id: int | None
    error: str


@dataclass
class Talk:
    """All that a program said, and all answers, both in their order."""

    said: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    strays: int = 0  # answers to nothing that it waited for

    @property
    def not_answered_once(self) -> int:
        """How many of its messages have no answer, or more than one."""
        answers = Counter(answer.body for answer in self.answers)
        return sum(answers[body] != 1 for body in self.said) + self.strays

    @property
    def under_way(self) -> int:
        """How many of its messages have no answer."""
        return len(self.said) - len(self.answers)

    def note(self, body: str, answered: asyncio.Future[Line]) -> None:
        """Take in what became of a message, if it is known."""
        with suppress(OSError):
            answer = answered.result()
            self.answers.append(Answer(body, answer.get("message_id"), answer.get("error", "")))


def talk(port: int, names: Sequence[str], room: str, *how: float) -> list[Talk]:
    """Let all talk for so long, then wait for the answers; return what became of each."""

    async def talk_all() -> list[Talk]:
        addresses = sources(7)
        return await asyncio.gather(
            *(_talk(port, next(addresses), name, room, *how) for name in names)
        )

    return asyncio.run(talk_all())


async def _talk(
    port: int, source: str, name: str, room: str, chars: int, seconds: float, wait_seconds: float
) -> Talk:
    """Say things of so many characters. Raises ConnectionResetError when it was cut."""
    program, talk = Program(), Talk()
    await program.connect(port, source, None)
    await program.call("login", token=token_of(name))
    await program.call("join", room=room)
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        while talk.under_way < UNDER_WAY_MAX and not program.is_lost:
            body = f"{name} {len(talk.said)} {'x' * chars}"
            talk.said.append(body)
            asked = program.ask("say", room=room, body=body)
            asked.add_done_callback(partial(talk.note, body))
        await asyncio.sleep(PAUSE_SECONDS)
    with suppress(TimeoutError):
        await until(lambda: not talk.under_way or program.is_lost, wait_seconds)
    if program.is_lost:
        raise ConnectionResetError(f"{name} was cut: {program.last_words}")
    program.lines.transport.abort()
    talk.strays = program.strays
    return talk
