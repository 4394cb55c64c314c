"""A scene from its server's start to its end; meanwhile a canary pings, and the hub is watched."""

import asyncio
import multiprocessing
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from tests.chaos.canary import Canary
from tests.chaos.hub import ANSWER_SECONDS_MAX, PINGS_A_SECOND_MIN, HubJudge
from tests.chaos.server import PASSWORD, token_of
from tests.chaos.watched import BLOCKING_SECONDS_MAX
from tests.findings import describe
from tests.program import Program
from tests.siege.findings import Findings
from tests.siege.server import SiegeServer

CANARY = "canary"
HONEST = "honest"  # has a password, and comes from an address that nobody else has
HONEST_ADDRESS = "127.9.9.9"
ATTACKERS = 2  # processes

Result = TypeVar("Result")


class Scene(NamedTuple):
    """What happens, under which settings, and who has an account."""

    name: str
    about: str
    act: Callable[["Siege"], None]
    people: Sequence[str] = ()
    settings: Mapping[str, object] = {}
    has_tls: bool = False
    open_files_max: int = 0
    blocked_seconds_max: float = BLOCKING_SECONDS_MAX
    answer_seconds_max: float = ANSWER_SECONDS_MAX  # for the canary


class Siege:
    """What a scene looks things up in."""

    def __init__(
        self, scene: Scene, folder: Path, attackers: ProcessPoolExecutor, seed: int
    ) -> None:
        self.scene = scene
        self.random = Random(f"{seed} {scene.name}")
        self.findings = Findings()
        self.server = SiegeServer(
            folder,
            has_tls=scene.has_tls,
            open_files_max=scene.open_files_max,
            **scene.settings,
        )
        self.tls = None
        if scene.has_tls:
            self.tls = ssl.create_default_context(cafile=str(self.server.certificate))
        self._attackers = attackers
        self._canary = Canary()
        self._hub = HubJudge(folder / "blocks", self._canary.pings)

    def attack(self, act: Callable[..., Result], *arguments: object) -> "Future[Result]":
        """Let a process of attackers do something, at the server's port."""
        return self._attackers.submit(act, self.server.port, *arguments)

    def beside(self, act: Callable[..., Result], *arguments: object) -> "Future[Result]":
        """Let a process do something that has no need of the port."""
        return self._attackers.submit(act, *arguments)

    def come(self, name: str, source: str = "127.0.0.1") -> Program:
        """Come as a program, by token."""
        program = self.server.program(source=source)
        program.name = name
        program.call("login", token=token_of(name))
        return program

    def log_in(self) -> str:
        """Come as an honest person does, by password, and go; return "ok", or the refusal's code.

        Raises AssertionError when there is no answer at all.
        """
        newcomer = Program(self.server.port, source=HONEST_ADDRESS, tls=self.tls)
        try:
            answer = newcomer.answer(newcomer.ask("login", name=HONEST, password=PASSWORD))
        finally:
            newcomer.close()
        return "ok" if answer["ok"] else answer["error"]

    def play(self) -> Findings:
        """Do all of it. Whatever goes wrong is a finding."""
        self.server.furnish([CANARY, HONEST, *self.scene.people])
        try:
            self.server.start()
            self._hub.excuse(0.0, time.monotonic())  # before, it was not there for anybody
            asyncio.run(self._act_and_watch())
            self.server.hang_up()
            self.findings.equal("exit code after SIGTERM", self.server.stop(), 0)
            traces = self.server.log.count("Traceback")
            self.findings.equal("tracebacks in the log", traces, 0)
        except Exception as error:  # noqa: BLE001 - it is told, and the next scene is played
            self.findings.equal("the scene", describe(error), "is played to its end")
        finally:
            if self.server.process is not None:
                self.server.kill()
        return self.findings

    async def _act_and_watch(self) -> None:
        await self._canary.start(self.server.port, token_of(CANARY))
        self._canary.watch(self.server.pid)
        listening, began = asyncio.create_task(self._canary.listen()), time.monotonic()
        try:
            await asyncio.to_thread(self.scene.act, self)
        finally:
            seconds = time.monotonic() - began
            await self._canary.stop()
            await listening
            self._judge_hub(seconds)

    def _judge_hub(self, seconds: float) -> None:
        """Want the canary to have had its answers, and nobody to have had too long a turn."""
        for _ in self._hub.faults(time.monotonic()):
            pass  # it keeps the worst
        answers, least = len(self._canary.pings), int(seconds * PINGS_A_SECOND_MIN)
        self.findings.at_least("answers to the canary", answers, least)
        if self._hub.worst_ping is not None:
            took, most = self._hub.worst_ping.blocked_seconds, self.scene.answer_seconds_max
            self.findings.at_most("the longest that one took", took, most, "s")
        block, most = self._hub.worst_block, self.scene.blocked_seconds_max
        blocked = 0.0 if block is None else block.blocked_seconds
        self.findings.at_most("the hub was blocked for", blocked, most, "s")
        if not self.findings[-1].is_held:
            last = self.findings.pop()
            self.findings.append(last._replace(seen=f"{last.seen}: {block.where}"))


def attackers() -> ProcessPoolExecutor:
    """Return the processes in which attackers live."""
    return ProcessPoolExecutor(ATTACKERS, multiprocessing.get_context("spawn"))
