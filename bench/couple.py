"""Two who talk, 100 messages a second, and what they feel of all the rest."""

from collections.abc import Callable, Mapping

from dialects import Greenroom
from generator import Crowd
from loads import Figures, Steady
from meter import Meter
from process import BenchError, ServerProcess

MESSAGES_PER_SECOND = 100
MESSAGES_MAX = 60_000  # ten minutes of them: what takes longer is a failure
ROOM = "probe"

_greenroom = Greenroom()


class Couple:
    """Speaker and listener. The memory of the server is counted from when they have come."""

    def __init__(self, process: ServerProcess, crowd: Crowd) -> None:
        self._process = process
        self._crowd = crowd
        self._members = crowd.log_in(["speaker", "listener"], _greenroom.hello)
        crowd.join(self._members, ROOM)
        crowd.settle()
        self._rss_before_bytes = process.rss_bytes()

    def talk_while(self, is_busy: Callable[[], bool]) -> Figures:
        """Talk as long as something goes on; return how long it took, and what it cost.

        `is_busy` is asked some hundred times a second. Raises BenchError when it has no end.
        """
        turns = [(self._members[0], ROOM)]
        talk = Steady(self._crowd, turns, len(self._members), MESSAGES_PER_SECOND, MESSAGES_MAX)
        self._process.forget_peak()
        meter = Meter(self._process)
        while is_busy():
            if talk.is_spent:
                raise BenchError(f"no end after {MESSAGES_MAX / MESSAGES_PER_SECOND:.0f} s")
            talk.step()
        usage = meter.stop()
        talk.finish()
        return (
            {"seconds": usage.wall_seconds}
            | talk.figures()
            | {"rss_more_bytes": self._process.rss_peak_bytes() - self._rss_before_bytes}
            | usage.shares()
        )


def by_phase(phases: Mapping[str, Figures]) -> Figures:
    """Return the figures of all phases in one, each with its phase in front of its name."""
    return {
        f"{phase}_{name}": value
        for phase, figures in phases.items()
        for name, value in figures.items()
    }
