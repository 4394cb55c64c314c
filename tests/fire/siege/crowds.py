"""Crowds of users who do what each of them may, at a server whose database is full of rows."""

import hashlib
import http.client
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from tests.fire.chaos.server import token_of
from tests.fire.siege import attackers
from tests.fire.siege.defenders import couple, expect_prompt_talk, stopwatch
from tests.fire.siege.siege import CANARY, HONEST, Scene, Siege
from tests.kit.databases import insert
from tests.kit.ndjson import request_line
from tests.kit.program import Program

CROWD = [f"c{number}" for number in range(200)]
BOSS, AWAY, TALKERS = "boss", "away", ["anna", "bert"]
TALK_ROOM, FULL_ROOM, SHELF = ROOM_NAMES = "pub", "full", "shelf"
NEW_ROOMS = ["b1", "b2", "b3"]
SECONDS = 3.0
BANNED, ROOMS, SERVER_BANS, IGNORED = 50_000, 8_000, 9_000, 500
LONG_ROOMS, LONG_MESSAGES = 200, 100  # 310 MB, if all of it were kept
LONG_BODY = "\U0001f600" + "x" * 3_900
FILES = 20_000
LETTERS = 10_000
LISTERS, JOINERS = 20, 20
OFFERS_AT_ONCE, OFFER_SECONDS = 5, 5.0
MEMORY_MB_MAX = 192.0  # 64 MiB of it remembered; the rest is on its way to those who enter
LETTERS_MB_MAX = 0.6
ANSWERED_SECONDS_MAX = 0.5
SHARED_SECONDS_MAX = 1.0  # with a login, a join, an offer and the upload, one after the other


def furnish(database: sqlite3.Connection) -> None:
    """Put rows into the database that would take long to make over the wire."""
    ids = dict(database.execute("SELECT name, id FROM users"))
    boss, others, now = ids[BOSS], range(10_000, 10_000 + BANNED), time.time_ns() // 1_000_000
    database.execute("UPDATE users SET is_admin = 1 WHERE id = ?", (boss,))
    users = ((n, f"u{n}", f"u{n}", f"u{n}", "!") for n in others)
    insert(database, "users", "id name key skeleton password_hash", users)
    named = enumerate([*ROOM_NAMES, *(f"r{n}" for n in range(ROOMS))], 1)
    rooms = ((number, name, name, name, "", boss) for number, name in named)
    insert(database, "rooms", "id name key skeleton topic owner_id", rooms)
    bans = (("ban", 2, n, "", now) for n in others)
    insert(database, "sanctions", "kind room_id user_id reason made_at", bans)
    mutes = (("mute", n, "", now) for n in others[:SERVER_BANS])
    insert(database, "server_sanctions", "kind user_id reason made_at", mutes)
    insert(database, "ignored", "user_id ignored_id", ((boss, n) for n in others[:IGNORED]))
    _furnish_texts(database, ids, now)


def _furnish_texts(database: sqlite3.Connection, ids: dict[str, int], now: int) -> None:
    crowd = [ids[name] for name in CROWD]
    long = ((4 + n, ids[BOSS], LONG_BODY) for n in range(LONG_ROOMS) for _ in range(LONG_MESSAGES))
    insert(database, "messages", "room_id user_id body", long)
    letters = ((ids[AWAY], crowd[n % 10], "x" * 3_900) for n in range(LETTERS))
    insert(database, "messages", "recipient_id user_id body", letters)
    digest = hashlib.sha256().digest()
    files = ((3, crowd[n % len(crowd)], "empty", 0, digest, now) for n in range(FILES))
    insert(database, "files", "room_id user_id name size sha256 made_at", files)
    database.execute(
        "UPDATE users SET file_count = (SELECT count(*) FROM files WHERE user_id = users.id)"
    )


def crowd(siege: Siege) -> None:
    """One crowd after the other."""
    ignore(siege)
    join_long_rooms(siege)
    list_all(siege)
    offer(siege)
    list_files(siege)
    read_letters(siege)


def _press(
    siege: Siege, names: Sequence[str], scripts: Sequence[Sequence[bytes]], seconds: float
) -> Future[int]:
    opened = [request_line("login", token=token_of(name)) for name in names]
    return siege.attack(attackers.press, opened, scripts, seconds)


def ignore(siege: Siege) -> None:
    """200 ignore somebody and hear them again, as fast as they may; two others talk."""
    first, second = (siege.come(name).join(TALK_ROOM) for name in TALKERS)
    first.event("joined")
    first.events.clear()
    script = [request_line("ignore", user=HONEST), request_line("unignore", user=HONEST)]
    pressing = _press(siege, CROWD, [script] * len(CROWD), SECONDS)
    with siege.prompt_canary("200 ignore somebody"), couple(siege, first, second) as heard:
        pressing.result()
    expect_prompt_talk(siege, heard, "while 200 ignore somebody")
    for program in (first, second):
        program.close()


def join_long_rooms(siege: Siege) -> None:
    """Enter 200 rooms that are full of long messages, each of them with one emoji."""
    grown = siege.server.watch_memory()
    scripts = [
        [request_line("join", room=f"r{n % LONG_ROOMS}") for n in range(each, each + 30)]
        for each in range(0, LONG_ROOMS, LONG_ROOMS // JOINERS)
    ]
    with siege.prompt_canary(f"{JOINERS} enter rooms of long messages"):
        _press(siege, CROWD[:JOINERS], scripts, SECONDS).result()
    siege.findings.at_most("memory at its highest", grown() / 1e6, MEMORY_MB_MAX, "MB more")


def list_all(siege: Siege) -> None:
    """Ask for each list there is, in pages as large as there are."""
    asked = [
        request_line("bans", room=FULL_ROOM, count=500),
        request_line("rooms", count=500),
        request_line("who", room=FULL_ROOM, count=500),
        request_line("room.roster", room=FULL_ROOM),
        request_line("ignore"),
        request_line("server.bans", count=500),
        request_line("user.list"),
        request_line("room.list"),
    ]
    siege.come(BOSS).join(FULL_ROOM)
    scripts = [asked[n % len(asked) :] + asked[: n % len(asked)] for n in range(LISTERS)]
    with siege.prompt_canary(f"{LISTERS} ask for lists of {BANNED:,} bans and the like"):
        _press(siege, [BOSS] * LISTERS, scripts, SECONDS).result()


def offer(siege: Siege) -> None:
    """Take all the addresses of files that 200 users may have; another one shares a file."""
    asked = request_line("file.offer", name="a", user=CANARY, size=1) * OFFERS_AT_ONCE
    with siege.prompt_canary(f"{len(CROWD)} ask for addresses of files"):
        pressing = _press(siege, CROWD, [[asked]] * len(CROWD), OFFER_SECONDS)
        time.sleep(OFFER_SECONDS - 1)
        siege.findings.equal("a stranger shares a file", _share(siege), http.client.CREATED)
        pressing.result()
    siege.findings.equal("and another one", _share(siege), http.client.CREATED)


def _share(siege: Siege) -> int:
    """Share an empty file; return the status, 0 when it was not even offered."""
    stranger = siege.come(TALKERS[0]).join(TALK_ROOM)
    answer = stranger.answer(stranger.ask("file.offer", room=TALK_ROOM, name="a", size=0))
    stranger.close()
    if not answer["ok"]:
        return 0
    connection = http.client.HTTPConnection("127.0.0.1", siege.server.port, timeout=10)
    connection.request("PUT", answer["url"], b"")
    with connection.getresponse() as response:
        connection.close()
        return response.status


def list_files(siege: Siege) -> None:
    """20 ask for pages of 20,000 files, as fast as they may; others enter rooms, and share."""
    asked = request_line("file.list", room=SHELF, count=500)
    script = [request_line("join", room=SHELF)] + [asked] * 99
    newcomer = siege.come(TALKERS[1])
    with siege.prompt_canary(f"{LISTERS} ask for lists of {FILES:,} files"):
        pressing = _press(siege, CROWD[:LISTERS], [script] * LISTERS, SECONDS)
        time.sleep(1)
        with stopwatch(siege) as seconds_of:
            took = max(seconds_of(partial(newcomer.join, room)) for room in NEW_ROOMS)
            shared = seconds_of(partial(_share, siege))
        pressing.result()
    siege.findings.at_most(
        "the longest of some joins, among lists of files", took, ANSWERED_SECONDS_MAX, "s"
    )
    siege.findings.at_most(
        "a login and an upload, among lists of files", shared, SHARED_SECONDS_MAX, "s"
    )
    newcomer.close()


def read_letters(siege: Siege) -> None:
    """Come back to 10,000 letters: a part is shown, and the next question is answered soon."""
    came: list[Program] = []

    def come() -> None:
        came.append(siege.come(AWAY))
        came[0].call("ping")

    comes = siege.prompt_canary(f"somebody comes back to {LETTERS:,} letters")
    with comes, stopwatch(siege) as seconds_of:
        took = seconds_of(come)
    siege.findings.at_most("until another question is answered", took, ANSWERED_SECONDS_MAX, "s")
    told = len(came[0].everything) / 1e6
    siege.findings.at_most("what is told of the letters", told, LETTERS_MB_MAX, "MB")


SCENE = Scene(
    "crowds",
    f"{len(CROWD)} users ignore, enter, list and offer as fast as they may, where much is stored",
    crowd,
    people=[*CROWD, *TALKERS, BOSS, AWAY],
    furnish=furnish,
)
