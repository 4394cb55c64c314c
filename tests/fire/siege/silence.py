"""Connections that say nothing, and connections that come and go without end (CVE-2026-43506)."""

import time
from math import inf

from tests.fire.siege import attackers
from tests.fire.siege.defenders import expect_served, newcomers
from tests.fire.siege.siege import Scene, Siege
from tests.kit.client import wait_until

SILENT = 5_000
COMING_AND_GOING = 100_000
# With many more the kernel's queue is full when the server waits for a core; it drops who knocks
# then, and a newcomer knocks again after 1 s.
SILENT_A_SECOND, GOING_A_SECOND = 2_000, 4_000
LOGIN_SECONDS_MAX = 8  # so that a round takes not much longer
CUT_SECONDS_MAX = 2.0  # after that time is over, with so many to be cut in the same moment
LAST_WORDS = b"you took too long to log in"
LOGIN_WAIT_SECONDS_MAX = 1.0
GROWTH_PERCENT_MAX = 5.0
AT_REST = 3  # connections: the canary, whoever asks, and one of those who log in
SETTLED_SECONDS = 0.5  # after the last one is gone


def be_silent(siege: Siege) -> None:
    """Two rounds of 5,000 who say nothing; then 100,000 who come and go, also in two parts.

    An allocator keeps what it has had to get once. So what is held after each round is compared
    with what was held after the first one, and not with a server that has seen nobody yet.
    """
    rests = []
    with newcomers(siege) as logins:
        for _ in range(2):
            _stay_silent(siege)
            rests.append(_resting_bytes(siege))
    expect_served(siege, logins, LOGIN_WAIT_SECONDS_MAX, f"among {SILENT:,} silent ones")
    _expect_no_growth(siege, rests, "after a second round")
    rests = []
    with newcomers(siege) as logins:
        for count in (COMING_AND_GOING // 5, COMING_AND_GOING):
            seconds = siege.attack(attackers.connect_and_close, count, GOING_A_SECOND).result()
            rests.append(_resting_bytes(siege))
    rate = f"among {count / seconds:,.0f} a second who came and went"
    expect_served(siege, logins, LOGIN_WAIT_SECONDS_MAX, rate)
    _expect_no_growth(siege, rests, f"after {COMING_AND_GOING:,} came and went")


def _stay_silent(siege: Siege) -> None:
    most = LOGIN_SECONDS_MAX + CUT_SECONDS_MAX
    ends = siege.attack(attackers.stay_silent, SILENT, SILENT_A_SECOND, 1.2 * most).result()
    cut = sum(end is not None and LAST_WORDS in end.last_words for end in ends)
    siege.findings.equal("silent ones who were cut, and told why", cut, SILENT)
    worst = max((end.seconds for end in ends if end), default=inf)
    siege.findings.at_most("cut after", worst, most, "s")


def _resting_bytes(siege: Siege) -> int:
    """Return what the server holds when all have gone."""
    connections = "greenroom_connections"
    wait_until(lambda: siege.server.scrape()[connections] <= AT_REST, "all have gone")
    time.sleep(SETTLED_SECONDS)
    return siege.server.rss_bytes()


def _expect_no_growth(siege: Siege, rests: list[int], when: str) -> None:
    first, last = rests
    what = f"memory {when} (of {first / 1e6:.0f} MB after the first)"
    siege.findings.at_most(what, (last - first) / first * 100, GROWTH_PERCENT_MAX, "%")


SCENE = Scene(
    "silent",
    f"{SILENT:,} connections say nothing, twice; {COMING_AND_GOING:,} come and go",
    be_silent,
    settings={"LOGIN_SECONDS_MAX": LOGIN_SECONDS_MAX},
)
