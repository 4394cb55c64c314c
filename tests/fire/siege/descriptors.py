"""A server that may open few files, and then none at all (CVE-2017-7652)."""

import base64
import time

from tests.fire.chaos.server import PASSWORD
from tests.fire.siege import attackers
from tests.fire.siege.defenders import couple, expect_prompt_talk
from tests.fire.siege.server import CpuShare, SiegeServer
from tests.fire.siege.siege import HONEST, Scene, Siege
from tests.kit.client import Client, wait_until
from tests.kit.program import Program

OPEN_FILES_MAX = 128
CROWD = 200
STAY_SECONDS = 6.0
WATCHED_SECONDS = 2.0  # in which nothing happens but that there are no descriptors
TALK_SECONDS = 1.5
TALKERS, ROOM = ["anna", "bert"], "pub"
NEWCOMERS = 20
CPU_PERCENT_MAX = 5.0
RECOVERY_SECONDS_MAX = 2.0
FULL = b"the server is full; try again later"
GREETED = b"login: "
CANT_ACCEPT = "can't accept newcomers"  # in the log
AT_REST = 6  # connections: the two, the person, the late one, the canary and whoever asks
RECORDS_MAX = 5  # one each time that it begins: a newcomer gets what another one gave back


def run_out(siege: Siege) -> None:
    """200 come where 64 fit; then no file and no socket can be opened at all."""
    first, second = (siege.come(name).join(ROOM) for name in TALKERS)
    first.event("joined")
    person = siege.server.connect().register("carla", "a password").join("attic")
    late = siege.server.program()
    late.call("ping")
    _be_full(siege, (first, second), person, late)
    _have_none(siege, (first, second))


def _be_full(siege: Siege, pair: tuple[Program, Program], person: Client, late: Program) -> None:
    crowd = siege.attack(attackers.crowd_in, CROWD, STAY_SECONDS)
    wait_until(lambda: _is_full(siege.server), "the server is full")
    _watch_cpu(siege, "while it is full")
    answer = late.answer(late.ask("login", name=HONEST, password=PASSWORD))
    siege.findings.equal("a login of one who is there, meanwhile", answer["ok"], True)
    person.type("/upload note.txt", base64.b64encode(b"x" * 1000).decode(), ".")
    person.expect("Lines of base64, please, and then a line with a dot alone.\r\n")
    shared = person.expect_line().startswith("carla shares note.txt")
    siege.findings.equal("an upload meanwhile", shared, True)
    _talk(siege, pair, "while it is full")
    heard = crowd.result()
    left = time.monotonic()
    greeted, told = (sum(words in each for each in heard) for words in (GREETED, FULL))
    siege.findings.equal(f"of {CROWD}, told that it is full, or let in", told + greeted, CROWD)
    siege.findings.equal("told that it is full, and not let in", told > CROWD // 2, True)
    wait_until(lambda: not _is_full(siege.server), "there is room")
    seconds = time.monotonic() - left
    siege.findings.at_most("room again, after they left", seconds, RECOVERY_SECONDS_MAX, "s")


def _have_none(siege: Siege, pair: tuple[Program, Program]) -> None:
    server = siege.server
    wait_until(lambda: server.scrape()["greenroom_connections"] <= AT_REST, "the crowd has gone")
    server.limit_descriptors(0)
    waiting = siege.attack(attackers.crowd_in, NEWCOMERS, STAY_SECONDS)
    wait_until(lambda: CANT_ACCEPT in server.log, "the log says that nobody is let in")
    _watch_cpu(siege, "with no descriptor at all")
    _talk(siege, pair, "with no descriptor at all")
    server.limit_descriptors(None)
    began = time.monotonic()
    siege.findings.equal("a login, when there are some", siege.log_in(), "ok")
    seconds = time.monotonic() - began
    siege.findings.at_most("it takes", seconds, RECOVERY_SECONDS_MAX, "s")
    served = sum(GREETED in each for each in waiting.result())
    siege.findings.equal("newcomers who waited, and were served", served, NEWCOMERS)
    records = server.log.count(CANT_ACCEPT)
    siege.findings.at_most("records of it in the log", records, RECORDS_MAX, "")


def _is_full(server: SiegeServer) -> bool:
    newcomer = Client(server.port)
    newcomer.greet()
    try:
        return FULL.decode() in newcomer.expect_line()
    finally:
        newcomer.close()


def _watch_cpu(siege: Siege, when: str) -> None:
    share = CpuShare(siege.server)
    time.sleep(WATCHED_SECONDS)
    siege.findings.at_most(f"of a core, {when}", share.percent(), CPU_PERCENT_MAX, "%")


def _talk(siege: Siege, pair: tuple[Program, Program], when: str) -> None:
    with couple(siege, *pair) as heard:
        time.sleep(TALK_SECONDS)
    expect_prompt_talk(siege, heard, when)


SCENE = Scene(
    "descriptors",
    f"{CROWD} come to a server that may open {OPEN_FILES_MAX} files; then it may open none",
    run_out,
    people=TALKERS,
    open_files_max=OPEN_FILES_MAX,
)
