"""Tests that are coroutines: scenes on a stage, and evenings of people who sit at terminals."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.encryption.fakes import Server
from tests.kit.encrypted_terminal import Person, sat_down
from tests.kit.terminal_stage import Stage

PEOPLE = ("alice", "bob", "carol")
Played = Callable[..., Awaitable[None]]


def scene(test: Played) -> Callable[..., None]:
    """Play a test on a stage, which is its first parameter."""

    def run(play: Callable[..., Stage], **given: Any) -> None:
        play(lambda stage: test(stage, **given))

    return _asking(run, test, "play", without=("stage",))


def evening(test: Played) -> Callable[..., None]:
    """Have those whom a test names, of PEOPLE, sit at terminals while it runs.

    Its `server` is one in memory that may lie, with the encrypted room den of alice and bob, and
    lobby, in the clear; files go by the fixture `http`, if the test takes that.
    """
    taken = inspect.signature(test).parameters
    names = [name for name in taken if name in PEOPLE]

    async def play(server: Server, folder: Path, given: dict[str, Any]) -> None:
        where = {"address": given["http"].server.address} if "http" in given else {}
        async with sat_down(server, folder, *names, **where) as people:
            await test(**given, **dict(zip(names, people, strict=True)))

    def run(tmp_path: Path, **given: Any) -> None:
        server = Server()
        server.room("den", "alice", "bob")
        server.room("lobby", "alice", "bob", e2ee=False)
        own = {"server": server, "tmp_path": tmp_path}
        given |= {name: value for name, value in own.items() if name in taken}
        asyncio.run(play(server, tmp_path, given))

    return _asking(run, test, "tmp_path", without=("server", *names))


def _asking(run: Callable, test: Played, fixture: str, *, without: tuple) -> Callable[..., None]:
    """Let pytest give `run` a fixture, and what the test takes but for some parameters."""
    functools.update_wrapper(run, test)
    asked = [*(name for name in inspect.signature(test).parameters if name not in without), fixture]
    kind = inspect.Parameter.KEYWORD_ONLY
    run.__signature__ = inspect.Signature(
        [inspect.Parameter(x, kind) for x in dict.fromkeys(asked)]
    )
    return run


async def enter(*people: Person) -> None:
    """Let people enter the encrypted room, for the first time."""
    for person in people:
        await person.enter()


async def go_to(room: str, *people: Person) -> None:
    """Let people enter a room that asks nothing of them, and see that it is shown."""
    for person in people:
        person.type(f"/join {room}")
        await is_in(room, person)


async def is_in(room: str, person: Person) -> None:
    await person.until(lambda: person.model.current.name == room)
