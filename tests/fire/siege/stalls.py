"""Handshakes of TLS that do not go on (Mosquitto 2053)."""

import time
from math import inf

from app.bounds import FIRST_BYTES_TLS_SECONDS_MAX
from tests.fire.chaos.strangers import client_hello
from tests.fire.siege import attackers
from tests.fire.siege.defenders import expect_served, newcomers
from tests.fire.siege.protocols import expect_closed
from tests.fire.siege.server import CpuShare
from tests.fire.siege.siege import Scene, Siege

SILENT, HALF, TRICKLED = 500, 300, 100
LOGIN_SECONDS_MAX = 5  # a port that is everybody's takes who is silent for a person
CUT_SECONDS_MAX = 6.0
STALL_SECONDS = 4.0  # in which all are there, before the first is cut
OPENED_SECONDS = 0.8
CPU_PERCENT_MAX = 6.0
NEWCOMER_SECONDS_MAX = 1.0
NEWCOMER_PAUSE_SECONDS = 1.0
CONFUSED = b"\x16hello, is this the chat?\r\n"  # begins as TLS does, and is none


def stall(siege: Siege) -> None:
    """Hundreds begin TLS, or not even that, and stay there; some send a byte a second."""
    expect_closed(siege, "plain text where TLS was begun", CONFUSED)
    hello = client_hello()
    begun = [b""] * SILENT + [hello[: len(hello) // 2]] * HALF + [hello[:1]] * TRICKLED
    trickled = [b""] * (SILENT + HALF) + [hello[1:]] * TRICKLED
    with newcomers(siege, NEWCOMER_PAUSE_SECONDS) as logins:
        alone = _percent_of_a_core(siege)
        stalling = siege.attack(attackers.stall, begun, trickled, 3 * CUT_SECONDS_MAX)
        time.sleep(OPENED_SECONDS)
        percent = _percent_of_a_core(siege) - alone
        ends = stalling.result()
    kinds = {"silent": SILENT, "with half a ClientHello": HALF, "a byte a second": TRICKLED}
    for kind, count in kinds.items():
        of_kind, ends = ends[:count], ends[count:]
        cut = [end.seconds for end in of_kind if end]
        siege.findings.equal(f"cut of those {kind}", len(cut), count)
        worst, most = max(cut, default=inf), CUT_SECONDS_MAX
        if kind == "silent":
            most += FIRST_BYTES_TLS_SECONDS_MAX  # until they are taken for persons
        siege.findings.at_most(f"cut after, {kind}", worst, most, "s")
    what = "of a core more than newcomers alone, while all are there"
    siege.findings.at_most(what, percent, CPU_PERCENT_MAX, "%")
    expect_served(siege, logins, NEWCOMER_SECONDS_MAX, "over TLS meanwhile")


def _percent_of_a_core(siege: Siege) -> float:
    """Return what the server has of a core from now on, until the first would be cut."""
    share = CpuShare(siege.server)
    time.sleep(STALL_SECONDS - OPENED_SECONDS)
    return share.percent()


SCENE = Scene(
    "tls",
    f"{SILENT} connect and no more, {HALF} send half a ClientHello, {TRICKLED} a byte a second",
    stall,
    settings={"LOGIN_SECONDS_MAX": LOGIN_SECONDS_MAX},
    has_tls=True,
)
