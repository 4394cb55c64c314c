"""One run of chaos: everybody talks; again and again something goes wrong, and is looked at.

A cycle is a moment of talk, a disturbance, the return of all who were cut off, a moment of talk,
a roll call, and a look at all that was seen and acknowledged meanwhile. When the server does not do
what no run can go on without, that is a violation, and the end of the run.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fire.chaos import trends
from tests.fire.chaos.circle import Circle, marked_files
from tests.fire.chaos.confidants import ENCRYPTED_ROOM
from tests.fire.chaos.disturbances import end_politely
from tests.fire.chaos.log import LogWatch
from tests.fire.chaos.members import TURNED_AWAY
from tests.fire.chaos.older import OlderDatabase
from tests.fire.chaos.oracle import Oracle
from tests.fire.chaos.plan import STORM_SHARE, Plan, Step
from tests.fire.chaos.population import Population
from tests.fire.chaos.rollcall import RollCall
from tests.fire.chaos.server import Broken, ChaosServer, token_of
from tests.fire.chaos.strangers import PEOPLE
from tests.fire.chaos.trends import Sample
from tests.kit.async_program import Refused
from tests.kit.canary import Canary
from tests.kit.hub_judge import HubJudge

CANARY = "canary"
TALK_SECONDS = 0.3, 1.5  # before a disturbance
CALM_SECONDS = 0.3  # after all are back: what is said then shows whether it works again


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    seconds: float
    seed: int
    clients: int = 200
    messages_a_second: float = 60
    confidants: int = 8
    only: tuple[str, ...] = ()


@dataclass
class Cycle:
    """What is told of one cycle."""

    number: int
    name: str
    seconds: float  # of the disturbance, until the server served again
    back_seconds: float  # from the end of the disturbance until all were here
    violations: int


@dataclass
class Run:
    """See the top of this file. Disturbances and members look things up in it."""

    folder: Path
    options: Options
    on_cycle: Callable[["Run", Cycle], None]
    kills: int = 0
    cycles: int = 0
    older: OlderDatabase | None = None  # once it was needed
    is_over: bool = False
    pulse: dict[str, float] | None = None  # the figures at the end
    recoveries_seconds: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = ChaosServer(self.folder)
        self.server.mount()
        seed, only = self.options.seed, self.options.only
        self.plan = Plan(seed, only, has_disk=self.server.has_disk)
        self.oracle = Oracle(self.server.database_path)
        self.tls = ssl.create_default_context(cafile=str(self.server.certificate))
        clients, rate = self.options.clients, self.options.messages_a_second
        confidants = range(clients, clients + self.options.confidants)
        self.circle = Circle([f"c{number}" for number in confidants], self.oracle.violate)
        self.population = Population(self, clients, rate, seed)
        self.roll_call = RollCall(self.oracle, self.population)
        self.canary = Canary(self.folder)
        self.hub = HubJudge(self.folder, lambda: self.canary.pings)
        self.log = LogWatch(self.folder / "server.log")

    @property
    def port(self) -> int:
        """Where the server is."""
        return self.server.port

    async def go(self) -> None:
        """Do all of it, as far as the server lets."""
        names = [member.name for member in self.population.members]
        people, encrypting = [*names, *PEOPLE, CANARY], self.circle.names
        await asyncio.to_thread(self.server.furnish, people, ENCRYPTED_ROOM, encrypting)
        try:
            await self.server.begin()
            self.canary.start(self.port, token_of(CANARY), self.server.pid)
            async with asyncio.TaskGroup() as tasks:
                self.population.start(tasks)
                await self._return(silent_from=0)
                await self._storm_and_live(time.monotonic())
                await self._end()
        except* Broken as group:
            for broken in group.exceptions:
                self.oracle.violate(f"{broken}. The run ended here.")
        finally:
            await asyncio.to_thread(self.canary.stop)

    async def begin(self) -> None:
        """Start the server again, after it ended: another life begins."""
        self.samples.clear()
        await self.server.begin()
        self.canary.watch(self.server.pid)

    async def _storm_and_live(self, began: float) -> None:
        seconds = self.options.seconds
        for step in self.plan.storm():
            await self._cycle(step)
            if time.monotonic() - began > seconds * STORM_SHARE:
                break
        for step in self.plan.life():
            if time.monotonic() - began > seconds:
                break
            await self._cycle(step)
        for fault in trends.faults(self.samples):
            self.oracle.violate(fault)

    async def _cycle(self, step: Step) -> None:
        self.cycles += 1
        self.oracle.cycle, self.oracle.disturbance = self.cycles, step.disturbance.name
        violations = self.oracle.violations_count
        await asyncio.sleep(step.random.uniform(*TALK_SECONDS))
        self.server.check_is_alive()
        began = time.monotonic()
        await self._disturb(step)
        ended = time.monotonic()
        back_seconds = await self._return(began if step.disturbance.starves else None)
        self.server.check_is_alive()
        await self.roll_call.hold()
        await self._look()
        self.samples.append(await self._sample())
        new = self.oracle.violations_count - violations
        self.on_cycle(
            self, Cycle(self.cycles, step.disturbance.name, ended - began, back_seconds, new)
        )

    async def _disturb(self, step: Step) -> None:
        try:
            await step.disturbance.do(self, step.random)
        except (OSError, EOFError) as error:  # its own connections, which nobody promised to keep
            self.oracle.notes.append(f"cycle {self.cycles}: {step.disturbance.name}: {error!r}")
        except Refused as refusal:
            if str(refusal) not in TURNED_AWAY:
                self.oracle.violate(f"{step.disturbance.name}: refused as {refusal}")

    async def _return(self, silent_from: float | None) -> float:
        """Wait until all are back and talk again; return after how long. Excuse silence."""
        try:
            seconds = await self.population.gathered()
        except TimeoutError:
            self.server.check_is_alive()
            absent = self.population.absent
            first = absent[0]
            self.oracle.violate(f"{len(absent)} did not come back: {first.name}: {first.trouble}")
            seconds = float("inf")
        if silent_from is not None:
            self.hub.excuse(silent_from, time.monotonic())
        await asyncio.sleep(CALM_SECONDS)
        return seconds

    async def _look(self) -> None:
        """Ask the oracle, and all who watch."""
        await self.population.read_all()
        await self.oracle.look(self.population.members)
        late = self.population.late_answers(time.monotonic())
        if late:
            self.oracle.violate(f"{late} answers are overdue")
        for fault in (*self.hub.faults(time.monotonic()), *self.log.faults()):
            self.oracle.violate(fault)

    async def _sample(self) -> Sample:
        figures, greenlets = await self.server.metrics(), await self.server.greenlets()
        connections = figures["greenroom_connections"]
        return Sample(
            time.monotonic(),
            figures["process_resident_memory_bytes"],
            figures["process_open_fds"] - connections,
            greenlets - connections,
        )

    async def _end(self) -> None:
        """Stop the server under load, for good, and look at everything once more."""
        self.oracle.disturbance = "the end"
        await self.population.finish_secrets()
        self.pulse = await self.server.metrics()
        self.hub.excuse(time.monotonic(), float("inf"))
        await end_politely(self, Random(f"{self.options.seed} end"))
        self.is_over = True
        await asyncio.to_thread(self.canary.stop)
        await asyncio.sleep(CALM_SECONDS)  # what was sent before the end is read
        await self._look()
        await asyncio.to_thread(self.oracle.check_integrity)
        for name in await asyncio.to_thread(lambda: [*marked_files(self.folder)]):
            self.oracle.violate(f"{name} has what was said in the encrypted room")
