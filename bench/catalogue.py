"""Which scenes there are, and who can play them."""

from collections.abc import Callable
from dataclasses import dataclass

from crowds import idle, mixed, people, tls
from files import files
from herd import come_back
from house import logins, million
from loads import Figures
from peers import RELAY, Server
from scale import FULL, Scale
from scenes import shared_scenes
from slow import slow
from upkeep import upkeep


@dataclass(frozen=True)
class Solo:
    """A scene that is played in a run of its own."""

    name: str
    play: Callable[[Server, int, Scale], Figures]  # the server and its core; raises BenchError
    is_for: Callable[[Server], bool]
    is_usual: bool = True  # played when nobody asks for certain scenes


def _is_chat(server: Server) -> bool:
    return server.name != RELAY


def _can_tls(server: Server) -> bool:
    return server.can_tls


def _is_ours(server: Server) -> bool:
    return server.is_ours


SOLOS = (
    Solo("tls", tls, _can_tls),
    Solo("slow", slow, _is_chat),
    Solo("idle", idle, _is_chat),
    Solo("mixed", mixed, _is_ours),
    Solo("people", people, _is_ours),
    Solo("logins", logins, _is_ours),
    Solo("herd", come_back, _is_ours),
    Solo("million", million, _is_ours),
    Solo("files", files, _is_ours, is_usual=False),
    Solo("upkeep", upkeep, _is_ours, is_usual=False),
)
SHARED = tuple(scene.name for scene in shared_scenes(FULL))
ALL = (*SHARED, *(solo.name for solo in SOLOS))
# What is played when nobody asks for certain scenes; a thousand to log in is not quick.
USUAL = (*SHARED, *(solo.name for solo in SOLOS if solo.is_usual))
USUAL_QUICK = tuple(name for name in USUAL if name != "burst1000")
