"""A room that loses everybody in one moment, by resets, again and again (ngIRCd).

What takes time is that all come back: of 2,000 users each is shown to 2,000 others. So in most
rounds the 2,000 programs are those of 200 users, and in some each is a user of its own.
"""

import itertools
import time
from collections import Counter

from tests.fire.chaos.server import token_of
from tests.fire.siege import attackers
from tests.fire.siege.siege import Scene, Siege
from tests.kit.client import Client
from tests.kit.ndjson import request_line

MASS = 2_000
USERS_OF_ROUNDS = [2_000] * 2 + [200] * 18
ROOM = "square"
IN_SECONDS_MAX = 60.0
GONE_SECONDS_MAX = 5.0
BLOCKED_SECONDS_MAX = 0.2
GROWTH_MB_MAX = 64.0  # from the first round to the last: what an allocator needs for its pieces
PEOPLE = [f"p{number}" for number in range(MASS)]
_COMES, _GOES = " has joined the room.", " has disconnected."


def reset_all(siege: Siege) -> None:
    """All come by token, join, and go without a word; one who stays counts who comes and goes."""
    server = siege.server
    witness = server.connect().register("witness", "a password").join(ROOM)
    wrong, took, rests = 0, [], []
    for count in USERS_OF_ROUNDS:
        users = siege.random.sample(PEOPLE, count)
        coming = siege.attack(attackers.come_and_reset, _lines(users), IN_SECONDS_MAX)
        wrong += _count_wrong(witness, users, _COMES)
        took.append(coming.result())
        began = time.monotonic()
        wrong += _count_wrong(witness, users, _GOES)
        took.append(time.monotonic() - began)
        rests.append(server.rss_bytes())
    witness.expect_nothing_more()
    rounds = f"in {len(USERS_OF_ROUNDS)} rounds, who was not seen to come and go once"
    siege.findings.equal(rounds, wrong, 0)
    siege.findings.at_most("until all are in", max(took[::2]), IN_SECONDS_MAX, "s")
    siege.findings.at_most("until all are seen to be gone", max(took[1::2]), GONE_SECONDS_MAX, "s")
    grown = (max(rests[1:]) - rests[0]) / 1e6
    what = f"memory after any round (of {rests[0] / 1e6:.0f} MB after the first)"
    siege.findings.at_most(what, grown, GROWTH_MB_MAX, "MB more")
    siege.findings.equal("a login afterwards", siege.log_in(), "ok")


def _lines(users: list[str]) -> list[bytes]:
    """Return what each program says, when these users have all of them together."""
    names = itertools.islice(itertools.cycle(users), MASS)
    came = request_line("join", room=ROOM) + request_line("ping")
    return [request_line("login", token=token_of(name)) + came for name in names]


def _count_wrong(witness: Client, users: list[str], end: str) -> int:
    """Read a line for each user; return for how many there was not exactly this one."""
    seen = Counter(witness.expect_line() for _ in users)
    return sum(seen[f"{user}{end}"] != 1 for user in users)


SCENE = Scene(
    "reset",
    f"{MASS:,} programs in one room go with RST, all at once, {len(USERS_OF_ROUNDS)} times",
    reset_all,
    people=PEOPLE,
    settings={"CONNECTIONS_MAX": MASS + 100},
    blocked_seconds_max=BLOCKED_SECONDS_MAX,
    answer_seconds_max=BLOCKED_SECONDS_MAX,
)
