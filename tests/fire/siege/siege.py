"""A scene from its server's start to its end; meanwhile a canary pings, and the hub is watched."""

import multiprocessing
import sqlite3
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from math import inf
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

from tests.fire.chaos.report import p99
from tests.fire.chaos.server import PASSWORD, token_of
from tests.fire.siege.attackers import get_ready
from tests.fire.siege.server import SiegeServer
from tests.kit.canary import Canary, Ping
from tests.kit.findings import Findings, describe
from tests.kit.hub_judge import ANSWER_SECONDS_MAX, PINGS_A_SECOND_MIN, Block, HubJudge
from tests.kit.hub_watch import BLOCKING_SECONDS_MAX
from tests.kit.program import Program

CANARY = "canary"
HONEST = "honest"  # has a password, and comes from an address that nobody else has
HONEST_ADDRESS = "127.9.9.9"
ATTACKERS = 2  # processes
SILENCE_SECONDS_MAX = 2.0  # between two pings: nothing is known of the hub meanwhile
COUNTED_SECONDS = 0.3  # for the last answer to be told
NO_ANSWER = Ping(inf, inf, 0.0)
LATE_PERCENT_MAX = 20.0  # of its answers; with more the machine was too busy to measure on

Result = TypeVar("Result")


class Scene(NamedTuple):
    """What happens, under which settings, and who has an account."""

    name: str
    about: str
    act: Callable[["Siege"], None]
    people: Sequence[str] = ()
    settings: Mapping[str, object] = {}
    has_tls: bool = False
    has_unread_log: bool = False
    open_files_max: int = 0
    furnish: Callable[[sqlite3.Connection], None] | None = None  # what else is in its database
    blocked_seconds_max: float = BLOCKING_SECONDS_MAX
    answer_seconds_max: float = ANSWER_SECONDS_MAX  # for the canary
    silence_seconds_max: float = SILENCE_SECONDS_MAX  # of the canary
    pings_a_second_min: float = PINGS_A_SECOND_MIN


class Siege:
    """What a scene looks things up in."""

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        attackers: ProcessPoolExecutor,
        findings: Findings,
        seed: int,
    ) -> None:
        self.scene = scene
        self.random = Random(f"{seed} {scene.name}")
        self.findings = findings
        self.server = SiegeServer(
            folder,
            has_tls=scene.has_tls,
            has_unread_log=scene.has_unread_log,
            open_files_max=scene.open_files_max,
            **scene.settings,
        )
        self.tls = None
        if scene.has_tls:
            self.tls = ssl.create_default_context(cafile=str(self.server.certificate))
        self._attackers = attackers
        self._canary = Canary(folder)
        self._hub = HubJudge(folder, lambda: self._canary.pings)

    def attack(self, act: Callable[..., Result], *arguments: object) -> "Future[Result]":
        """Let a process of attackers do something, at the server's port."""
        return self._attackers.submit(act, self.server.port, *arguments)

    def beside(self, act: Callable[..., Result], *arguments: object) -> "Future[Result]":
        """Let a process do something that has no need of the port."""
        return self._attackers.submit(act, *arguments)

    def come(self, name: str, source: str = "127.0.0.1") -> Program:
        """Come as a program, by token."""
        return self.server.program(source=source).log_in(name, token=token_of(name))

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

    @contextmanager
    def prompt_canary(self, what: str) -> Iterator[None]:
        """Want all but a hundredth of the canary's answers, meanwhile, in time."""
        began = time.monotonic()
        yield
        time.sleep(COUNTED_SECONDS)
        took = [ping for ping in self._canary.pings if ping.at >= began] or [NO_ANSWER]
        seen = p99([ping.seconds for ping in took])
        told = f"p99 of {len(took)} answers, {what} ({seen:.3f} s with waits for a core)"
        worst = p99([ping.blocked_seconds for ping in took])
        self.findings.at_most(told, worst, ANSWER_SECONDS_MAX, "s")

    def play(self) -> None:
        """Do all of it. Raises whatever goes wrong; the server is gone in any case."""
        try:
            self.server.furnish([CANARY, HONEST, *self.scene.people])
            if self.scene.furnish:
                with self.server.database() as database:
                    database.execute("BEGIN")
                    self.scene.furnish(database)
                    database.execute("COMMIT")
            self.server.start()
            self._hub.excuse(0.0, time.monotonic())  # before, it was not there for anybody
            self._act_and_watch()
            self.server.hang_up()
            self.findings.equal("exit code after SIGTERM", self.server.stop(), 0)
            traces = self.server.log.count("Traceback")
            self.findings.equal("tracebacks in the log", traces, 0)
        finally:
            if self.server.process is not None:
                self.server.kill()

    def _act_and_watch(self) -> None:
        began = time.monotonic()
        try:
            self._canary.start(self.server.port, token_of(CANARY), self.server.pid)
            self._canary.await_answer()
            began = time.monotonic()
            self._act()
        finally:
            ended = time.monotonic()
            self._canary.stop()
            self._judge_canary(began, ended)
            self._judge_hub()

    def _act(self) -> None:
        """Let the scene take its course; when it is broken off, let nobody go on."""
        try:
            self.scene.act(self)
        except BaseException:
            for attacker in multiprocessing.active_children():
                attacker.kill()  # they would be waited for, by the scene's thread too
            self.server.kill()
            raise

    def _judge_canary(self, began: float, ended: float) -> None:
        """Want it to have asked all the time, and to have had its answers."""
        pings, most = self._canary.pings, self.scene.answer_seconds_max
        least = int((ended - began) * self.scene.pings_a_second_min)
        self.findings.at_least("answers to the canary", len(pings), least)
        moments = [began, *(ping.at for ping in pings), ended]
        silence = max(later - earlier for earlier, later in pairwise(moments))
        what = "the longest time between two pings"
        self.findings.at_most(what, silence, self.scene.silence_seconds_max, "s")
        if pings:
            worst = max(ping.blocked_seconds for ping in pings)
            self.findings.at_most("the longest that an answer took", worst, most, "s")
            late = sum(ping.seconds > most >= ping.blocked_seconds for ping in pings)
            what = "answers that were late for want of a core alone"
            self.findings.at_most(what, late / len(pings) * 100, LATE_PERCENT_MAX, "%")

    def _judge_hub(self) -> None:
        """Want nobody to have had too long a turn."""
        block, most = self._worst_block(), self.scene.blocked_seconds_max
        seconds, where = (block.blocked_seconds, block.where) if block else (0.0, "")
        self.findings.at_most("the hub was blocked for", seconds, most, "s", where)

    def _worst_block(self) -> Block | None:
        """Return the longest, which HubJudge notes while it looks for faults."""
        deque(self._hub.faults(time.monotonic()), maxlen=0)
        return self._hub.worst_block


def play(scene: Scene, folder: Path, seed: int) -> Findings:
    """Play a scene, with attackers of its own. Whatever goes wrong is a finding."""
    findings = Findings()
    try:
        with _attackers() as processes:
            Siege(scene, folder, processes, findings, seed).play()
    except Exception as error:  # noqa: BLE001 - it is told, and the next scene is played
        findings.equal("the scene", describe(error), "is played to its end")
    return findings


def _attackers() -> ProcessPoolExecutor:
    """Return the processes in which attackers live."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(ATTACKERS, context, initializer=get_ready)
