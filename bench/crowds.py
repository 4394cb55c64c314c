"""Scenes with a run of their own for who takes part: idle sessions, TLS, mixed wires, a talk."""

import time
from collections.abc import Iterable
from itertools import chain, takewhile
from statistics import quantiles

from accounts import make_accounts, token_of
from dialects import Exchange, Greenroom, Ndjson
from generator import Client, Crowd, Door, unchecked_tls
from loads import Figures
from meter import Meter
from peers import Server, served
from scale import Scale
from scenes import large_room, play, small_rooms

MS_PER_SECOND = 1_000
TALK = "talk"
IDLE_WARM_UP = 20  # sessions before the first look at the memory: code is loaded then
COME_IN_SECONDS_MAX = 40  # for idle sessions: ngIRCd lets in some 30 a second


def idle(server: Server, core: int, scale: Scale) -> Figures:
    """Log very many in, and leave them: the memory each takes, and the CPU of them all."""
    with served(server, core) as (process, crowd):
        early = [f"early{number}" for number in range(IDLE_WARM_UP)]
        idlers = [f"idler{number}" for number in range(scale.idle_sessions)]
        crowd.log_in(["first"], server.dialect.hello)
        if server.is_ours:
            make_accounts(process.folder, early + idlers)
        _come_in(server, crowd, early)
        crowd.settle()
        before_bytes = process.rss_bytes()
        meter = Meter(process)
        deadline = time.monotonic() + COME_IN_SECONDS_MAX
        in_time = takewhile(lambda _: time.monotonic() < deadline, idlers)
        sessions = len(_come_in(server, crowd, in_time))
        logging_in = meter.stop()
        crowd.settle()
        after_bytes = process.rss_bytes()
        meter = Meter(process)
        crowd.rest(scale.seconds)
        resting = meter.stop()
    return {
        "rss_per_session_bytes": (after_bytes - before_bytes) / sessions,
        "sessions": sessions,
        "rss_before_bytes": before_bytes,
        "rss_after_bytes": after_bytes,
        "idle_cpu_share": resting.server_cpu_seconds / resting.wall_seconds,
        "logins_per_second": sessions / logging_in.wall_seconds,
    }


def _come_in(server: Server, crowd: Crowd, names: Iterable[str]) -> list[Client]:
    """Log in by token where there are tokens: ten thousand passwords would take minutes."""
    if server.is_ours:
        ndjson = Ndjson()
        return crowd.log_in(names, lambda name: ndjson.login(token_of(name)), Door(ndjson))
    return crowd.log_in(names, server.dialect.hello)


def tls(server: Server, core: int, scale: Scale) -> Figures:
    """Play `large` with everybody over TLS."""
    scene = large_room("tls", scale)
    with served(server.over_tls(), core) as (process, crowd):
        names = (f"m{index}" for index in range(scene.members))
        return play(scene, crowd, crowd.log_in(names, server.dialect.hello), process)


def mixed(server: Server, core: int, scale: Scale) -> Figures:
    """Play `large` with a third each of text, of NDJSON and of text over TLS, in one room."""
    doors = [Door(Greenroom()), Door(Ndjson()), Door(Greenroom(), unchecked_tls())]
    scene = large_room("mixed", scale)
    with served(server.over_tls(), core) as (process, crowd):
        return play(scene, crowd, _through(doors, crowd, scene.members), process)


def people(server: Server, core: int, scale: Scale) -> Figures:
    """Let one talk, each line when they have read the one before, while `rooms` is played.

    So it is for a person who types: how long it takes until what they say is there.
    """
    scene = small_rooms("people", scale, 20)
    with served(server, core) as (process, crowd):
        [talker] = crowd.log_in(["talker"], server.dialect.hello)
        crowd.join([talker], TALK)
        members = crowd.log_in(
            (f"m{index}" for index in range(scene.members)), server.dialect.hello
        )
        rooms = scene.seat(members)
        for room, seated in rooms.items():
            crowd.join(seated, room)
        load = scene.load(crowd, rooms)
        crowd.settle()
        meter, echoes_ms = Meter(process), list[float]()
        while not load.is_spent:
            asked_at = time.monotonic()
            line = b"line %d of a talk" % len(echoes_ms)
            crowd.ask(talker, Exchange(server.dialect.say(TALK, line), line))
            while talker.awaited and not load.is_spent:
                load.step()
            echoes_ms.append((time.monotonic() - asked_at) * MS_PER_SECOND)
        usage = meter.stop()
        load.finish()
    echoes = quantiles(echoes_ms[:-1], n=100)
    return {"echo_p50_ms": echoes[49], "echo_p99_ms": echoes[98]} | load.figures() | usage.shares()


def _through(doors: list[Door], crowd: Crowd, members: int) -> list[Client]:
    """Log members in by the doors in turn, so that also the speakers are of all kinds."""
    names = [f"m{index}" for index in range(members)]
    kinds = [
        crowd.log_in(names[number :: len(doors)], door.dialect.hello, door)
        for number, door in enumerate(doors)
    ]
    by_name = {client.name: client for client in chain.from_iterable(kinds)}
    return [by_name[name] for name in names]
