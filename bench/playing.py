"""Plays scenes: each server in turn, one at a time, and never a failure that ends the whole."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from catalogue import SOLOS
from peers import Server, served
from process import BenchError
from results import Result
from scale import Scale
from scenes import Scene, play, shared_scenes

Note = Callable[[Result], None]


@dataclass(frozen=True)
class Plan:
    """Who plays what, where."""

    servers: Sequence[Server]
    core: int  # of the servers
    scale: Scale
    scenes: Collection[str]  # by name

    @property
    def shared(self) -> list[Scene]:
        """Those that are played one after the other in one run of a server."""
        return [scene for scene in shared_scenes(self.scale) if scene.name in self.scenes]


def play_round(number: int, plan: Plan, note: Note) -> None:
    """Let each server in turn play what it can, so that a noisy minute does not hit one alone."""
    for server in plan.servers:
        play_shared(server, plan.shared, plan.core, number, note)
    play_solos(number, plan, note)


def play_solos(number: int, plan: Plan, note: Note) -> None:
    """Play the scenes that need a run of their own, each with all servers."""
    for solo in SOLOS:
        for server in plan.servers:
            if solo.name in plan.scenes and solo.is_for(server):
                try:
                    figures = solo.play(server, plan.core, plan.scale)
                    note(Result(solo.name, server.name, number, figures))
                except (BenchError, OSError) as error:
                    note(Result(solo.name, server.name, number, failure=str(error)))


def play_shared(
    server: Server, scenes: Sequence[Scene], core: int, number: int, note: Note
) -> None:
    """Play the scenes one after the other in one run of the server.

    A failure ends the run, and what is left is played in a new one: a crowd in which somebody was
    cut, or has messages still to come, is of no use to the next scene.
    """
    waiting = deque(scenes)
    while waiting:
        try:
            with served(server, core) as (process, crowd):
                names = (f"m{index}" for index in range(max(scene.members for scene in scenes)))
                members = crowd.log_in(names, server.dialect.hello)
                while waiting:
                    figures = play(waiting[0], crowd, members, process)
                    note(Result(waiting.popleft().name, server.name, number, figures))
        except (BenchError, OSError) as error:
            scene = waiting.popleft().name if waiting else "shutdown"
            note(Result(scene, server.name, number, failure=str(error)))
