"""What goes wrong: each disturbance is a function of the run and of chance, given by the seed.

Those that end the server start it again. Those that take something away give it back. None waits
for the members; run.py does, and then asks the oracle.
"""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from app.values.times import DAY_MILLISECONDS
from tests.fire.chaos import strangers
from tests.fire.chaos.confidants import KILL_STEPS_MAX
from tests.fire.chaos.older import OlderDatabase
from tests.fire.chaos.strangers import HOLD_SECONDS
from tests.kit.async_program import Refused

if TYPE_CHECKING:
    from tests.fire.chaos.run import Run

STOPPED_SECONDS = 1.0, 3.0
LOCKED_SECONDS = 1.0, 8.0  # less, and more, than the server waits for the database
WAVES_SECONDS = 0.02, 0.05  # of a burst, until SIGTERM comes in the middle of it
STOP_SECONDS_MAX = 10  # from SIGTERM to the exit
NOTICED_SECONDS = 0.2  # until who hung up knows it, and the server does
NEWCOMERS = 20  # while there are no descriptors
DESCRIPTORS_LEFT_MAX = 12
_FILLING = "filling"


async def kill(run: "Run", random: Random) -> None:
    """End it as a power cut would, in the middle of what many say."""
    run.kills += 1
    run.population.speak_at_once()
    began = time.monotonic()
    await run.server.ended(signal.SIGKILL)
    await _start(run, began)


async def kill_while_starting(run: "Run", random: Random) -> None:
    """End it, and again before it serves."""
    run.kills += 2
    await run.server.ended(signal.SIGKILL)
    starting = asyncio.create_task(run.server.begin())
    await asyncio.sleep(random.uniform(0.05, 1.5))
    began = time.monotonic()
    await run.server.ended(signal.SIGKILL)
    await asyncio.gather(starting, return_exceptions=True)  # it listened already, or did not
    await _start(run, began)


async def terminate(run: "Run", random: Random) -> None:
    """Stop it as an operator does, while all talk."""
    await end_politely(run, random)
    await run.begin()


async def end_politely(run: "Run", random: Random) -> None:
    """Send SIGTERM in the middle of a burst, and look how it ends."""
    speaking = asyncio.create_task(run.population.speak_in_waves())
    await asyncio.sleep(random.uniform(*WAVES_SECONDS))
    began = time.monotonic()
    run.population.speak_at_once()  # what it reads together with the signal
    run.server.process.send_signal(signal.SIGTERM)
    run.population.speak_at_once()  # and while it ends
    code = await run.server.gone()
    seconds = time.monotonic() - began
    await speaking
    if code != 0 or seconds >= STOP_SECONDS_MAX:
        run.oracle.violate(f"SIGTERM: exit code {code} after {seconds:.1f} s")


async def _start(run: "Run", began: float) -> None:
    await run.begin()
    run.recoveries_seconds.append(time.monotonic() - began)


async def stop_for_a_while(run: "Run", random: Random) -> None:
    """Let it stand still, as a machine that swaps or a paused container does."""
    run.server.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(random.uniform(*STOPPED_SECONDS))
    finally:
        run.server.process.send_signal(signal.SIGCONT)


async def take_descriptors(run: "Run", random: Random) -> None:
    """Let it open hardly any files and sockets, while newcomers come."""
    run.server.limit_descriptors(random.randrange(DESCRIPTORS_LEFT_MAX))
    comings = [strangers.come_in_vain(run, number, random) for number in range(NEWCOMERS)]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(*HOLD_SECONDS)):
                await asyncio.gather(*comings)
    finally:
        run.server.limit_descriptors(None)


async def fill_disk(run: "Run", random: Random) -> None:
    """Leave no byte free where the data are, for a while."""
    path = run.server.data / _FILLING
    try:
        with path.open("wb") as file:
            disk = os.statvfs(run.server.data)
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize)
        await asyncio.sleep(random.uniform(*HOLD_SECONDS))
    finally:
        path.unlink(missing_ok=True)


async def lock_database(run: "Run", random: Random) -> None:
    """Hold the right to write, as a person with the sqlite3 program open would."""
    await asyncio.to_thread(
        hold_database, run.server.database_path, random.uniform(*LOCKED_SECONDS)
    )


def hold_database(path: os.PathLike[str], seconds: float) -> None:
    """Hold the right to write for so long, and wait."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


async def change_clock(run: "Run", random: Random) -> None:
    """Let the clock jump by a day, this way or that, or back to what it is."""
    run.server.set_clock(random.choice((-1, 0, 1)) * DAY_MILLISECONDS)
    await asyncio.sleep(random.uniform(*HOLD_SECONDS))


async def reset_many(run: "Run", random: Random) -> None:
    """Let half of the members hang up at the same moment, with RST."""
    members = run.population.members
    for member in random.sample(members, len(members) // 2):
        if member.lines is not None:
            member.lines.reset()
    await asyncio.sleep(NOTICED_SECONDS)


async def kill_devices(run: "Run", random: Random) -> None:
    """End half of the clients that encrypt, in the middle of whatever they do."""
    confidants = run.population.confidants
    for confidant in random.sample(confidants, len(confidants) // 2):
        confidant.be_killed(random.randrange(KILL_STEPS_MAX))
        confidant.say()
    await asyncio.sleep(NOTICED_SECONDS)


async def leave_and_return(run: "Run", random: Random) -> None:
    """Let one of those who encrypt belong to their room no more for a while."""
    if run.population.confidants:
        leaver = random.choice(run.population.confidants)
        try:
            await leaver.go_away(random.uniform(*HOLD_SECONDS))
            await run.population.welcome(leaver)
        except (TimeoutError, Refused) as trouble:
            run.oracle.violate(f"{leaver.name} could not leave and come back: {trouble!r}")


async def kill_migration(run: "Run", random: Random) -> None:
    """See older.py. It is a server of its own."""
    if run.older is None:
        run.older = await asyncio.to_thread(OlderDatabase, run.folder)
    await run.older.migrate_and_kill(run.oracle, random)


class Disturbance(NamedTuple):
    """One that a plan can choose. `ends`: the server; `starves`: it may be silent meanwhile."""

    name: str
    do: Callable[["Run", Random], Awaitable[None]]
    weight: int
    ends: bool = False
    starves: bool = False


DISTURBANCES = (
    Disturbance("SIGKILL", kill, 42, ends=True, starves=True),
    Disturbance("SIGKILL while starting", kill_while_starting, 8, ends=True, starves=True),
    Disturbance("SIGTERM", terminate, 6, ends=True, starves=True),
    Disturbance("SIGSTOP", stop_for_a_while, 4, starves=True),
    Disturbance("no descriptors", take_descriptors, 4),
    Disturbance("full disk", fill_disk, 4),
    Disturbance("locked database", lock_database, 4),
    Disturbance("slow readers", strangers.read_slowly, 4),
    Disturbance("resets", reset_many, 4),
    Disturbance("killed clients", kill_devices, 4),
    Disturbance("member leaves", leave_and_return, 4),
    Disturbance("clock jump", change_clock, 4),
    Disturbance("stalled TLS", strangers.stall_tls, 4),
    Disturbance("abandoned uploads", strangers.abandon_uploads, 4),
    Disturbance("killed migration", kill_migration, 4),
)
