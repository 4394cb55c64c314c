"""A database that another process holds, for half a minute, while clients talk."""

import time

from app.bounds import JOURNAL_BYTES_MAX
from tests.fire.chaos.disturbances import hold_database
from tests.fire.siege import talkers
from tests.fire.siege.defenders import again_and_again
from tests.fire.siege.siege import Scene, Siege
from tests.kit.client import wait_until

HELD_SECONDS = 30.0
BEFORE_SECONDS, AFTER_SECONDS = 2.0, 6.0
ANSWERED_SECONDS_MAX = 20.0  # after the last is said: two transactions that fail, and then some
TALKERS, ROOM = [f"t{number}" for number in range(20)], "pub"
BODY_CHARS = 2_000
SAMPLE_SECONDS = 0.2
GROWTH_MB_MAX = 32.0
RECOVERY_SECONDS_MAX = 6.0  # as long as one write may wait for the database, and one second
NOT_STORED = "not_stored"


def hold(siege: Siege) -> None:
    """20 say 2,000 characters ten times a second; all of it is held against the database after."""
    server = siege.server
    seconds = BEFORE_SECONDS + HELD_SECONDS + AFTER_SECONDS
    asked = (TALKERS, ROOM, BODY_CHARS, seconds, ANSWERED_SECONDS_MAX)
    talking = siege.attack(talkers.talk, *asked)
    time.sleep(BEFORE_SECONDS)
    grown = server.watch_memory()
    with again_and_again(server.scrape, SAMPLE_SECONDS) as samples:
        siege.beside(hold_database, server.database_path, HELD_SECONDS).result()
        stored, released = _stored_count(server), time.monotonic()
        wait_until(lambda: _stored_count(server) > stored, "something is stored again")
    recovered = time.monotonic() - released
    waiting = max(sample["greenroom_journal_bytes"] for sample in samples) / 1024
    most = (JOURNAL_BYTES_MAX + len(TALKERS) * BODY_CHARS) / 1024
    siege.findings.at_most("text that waits to be stored", waiting, most, "KiB")
    siege.findings.at_most("memory at its highest", grown() / 1e6, GROWTH_MB_MAX, "MB more")
    siege.findings.at_most("stored again after", recovered, RECOVERY_SECONDS_MAX, "s")
    _judge(siege, talking.result())


def _stored_count(server) -> int:
    with server.database() as database:
        return database.execute("SELECT count(*) FROM messages").fetchone()[0]


def _judge(siege: Siege, talks: list[talkers.Talk]) -> None:
    """Hold what the talkers were told against what is there."""
    told = [answer for talk in talks for answer in talk.answers]
    stored = [answer for answer in told if answer.message_id is not None]
    refused = [answer for answer in told if answer.message_id is None]
    siege.findings.within("refusals", {answer.error for answer in refused}, {NOT_STORED})
    with siege.server.database() as database:
        found = database.execute("SELECT id, body FROM messages ORDER BY id").fetchall()
    acknowledged = sorted((answer.message_id, answer.body) for answer in stored)
    what = f"of {len(stored):,} acknowledged and {len(refused):,} refused, what is not so"
    siege.findings.equal(what, len(set(acknowledged) ^ set(found)), 0)
    siege.findings.at_least("messages acknowledged", len(stored), 1)
    lost = sum(talk.not_answered_once for talk in talks)
    siege.findings.equal("messages without an answer, or with two", lost, 0)
    unordered = sum(not _is_ordered(talk.answers) for talk in talks)
    siege.findings.equal("talkers whose order was not kept", unordered, 0)


def _is_ordered(answers: list[talkers.Answer]) -> bool:
    """Tell whether messages of one talker were answered, and stored, in their order."""
    ids = [answer.message_id for answer in answers if answer.message_id is not None]
    numbers = [int(answer.body.split()[1]) for answer in answers]
    return ids == sorted(ids) and numbers == sorted(numbers)


SCENE = Scene(
    "locked",
    f"another process holds the database for {HELD_SECONDS:.0f} s while {len(TALKERS)} talk",
    hold,
    people=TALKERS,
)
