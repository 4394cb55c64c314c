"""Kill a client that encrypts at random moments: nothing is lost, and no step is taken twice.

    make fire ARGS="kills --kills 200 --seed 7"

A real server, bob who reads along, and alice: a process of its own with the core, the key store and
the library's client, which says one thing after the other until it is killed with kill -9, and goes
on when it is started again. What it had in its outbox by then has to be stored, once. It reports
what it does before it does it, and what it was answered; from that, and from what the server keeps,
is judged. It counts, too, what kills met in the outbox; that they never did is a failure:
  waiting  something that the server did not have, which went out when alice came back
  stored   something that the server had, and alice had no answer yet
"""

import contextlib
import multiprocessing
import signal
import tempfile
import time
from argparse import Namespace
from collections import Counter, defaultdict
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import NamedTuple

from vodozemac import MegolmMessage

from app.encryption import received
from app.encryption.flows import Json
from app.values.times import now
from tests.fire.kinds import Kind, hold
from tests.kit.encrypting import Machine
from tests.kit.server_process import ServerProcess

ROOM = "den"
ALIVE_SECONDS_MAX = 0.4  # until the kill
REPORT_SECONDS_MAX = 60.0  # until the next report of a client that lives
UP_FIRST = 0.7  # how often it is killed while it speaks, and not while it starts
UP_FIRST_WORD = 0.5  # and of these, how often at its first word, for which it has much to ask
PAGE_MESSAGES = 1_000
OUTBOXES = ("waiting", "stored")  # see above
LONG_KILLS = 50  # from so many on, a run has met both; a shorter one the first, at least
SETTINGS = {"MESSAGE_RATE": "0", "LOGIN_ATTEMPTS": "0"}
_PROCESSES = multiprocessing.get_context("forkserver")  # with all of this loaded: it starts at once


class Talker(Machine):
    """A user with a device, in the room."""

    def __init__(self, port: int, user: str, folder: Path) -> None:
        super().__init__(port, user, folder / f"{user}.db")
        self.client.join(ROOM)

    def fetch(self) -> None:
        """Empty the mailbox."""
        self.device.pushed({"event": "td"})
        self.do(self.device.attend(now()))

    def history(self) -> list[Json]:
        """Return all messages of the room, oldest first."""
        pages: list[Json] = []
        before = None
        while True:
            page = self.client.call("history", room=ROOM, count=PAGE_MESSAGES, before=before)
            pages[:0] = page["messages"]
            if not page["has_more"]:
                return pages
            before = page["before_id"]


# The process that is killed.


class Victim(Talker):
    """Reports what it does before it does it, and what it has done."""

    def __init__(self, port: int, folder: Path, reports: Connection) -> None:
        self.reports = reports
        self.body = ""
        super().__init__(port, "alice", folder)

    def ask(self, op: str, fields: Json) -> Json:
        if self.body:
            self.reports.send({"kept": self.body})  # a flow asks nothing before it is in the outbox
            self.body = ""
        if op == "say":
            self.reports.send({"sid": fields["enc"]["sid"], "ct": fields["enc"]["ct"]})
        return super().ask(op, fields)

    def live(self, number: int) -> None:
        self.do(self.device.start(now()))
        self.reports.send({"up": True})
        for count in range(1_000_000):
            self.body = f"{number}-{count}"
            self.do(self.device.say(ROOM, self.body, now()))
            self.reports.send({"answered": True})
            if count % 5 == 0:
                self.fetch()


def be_killed(port: int, folder: Path, number: int, reports: Connection) -> None:
    """Be the process that is killed."""
    reports.send({"up": False})
    Victim(port, folder, reports).live(number)


# The one who kills it.


class Stuck(Exception):
    """The client is not there to be killed; `str(stuck)` says how it is instead."""


class Interrupted(NamedTuple):
    """What was in the outbox, without an answer, when its client was killed."""

    body: str
    before: str  # what bob said before the client came back


class Evening:
    """All that was reported, and what is wrong with it."""

    def __init__(self, folder: Path, server: ServerProcess, random: Random) -> None:
        self.folder, self.server, self.random = folder, server, random
        self.kept: list[str] = []
        self.sent: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.requests = 0
        self.kills = 0
        self.unanswered = ""  # what is in the outbox now
        self.interrupted: list[Interrupted] = []

    def kill_once(self, number: int) -> None:
        """Start the client, and kill it at some moment; take in what it reported. Raises Stuck."""
        self.unanswered = ""
        self.kills += 1
        reports, theirs = _PROCESSES.Pipe(duplex=False)
        about = (self.server.port, self.folder, number, theirs)
        victim = _PROCESSES.Process(target=be_killed, args=about)
        victim.start()
        theirs.close()
        with reports:
            try:
                self._await_moment(reports)
            finally:
                victim.kill()
                victim.join()
            with contextlib.suppress(EOFError):
                while True:
                    self._take(reports.recv())
        if victim.exitcode != -signal.SIGKILL:
            raise Stuck("it ended by itself")
        if self.unanswered:
            self.interrupted.append(Interrupted(self.unanswered, _words_of_bob(number)))

    def _await_moment(self, reports: Connection) -> None:
        """Take in what the client reports until it is to be killed. Raises Stuck."""
        is_up = self.random.random() < UP_FIRST
        while (report := _next(reports)) != {"up": is_up}:
            self._take(report)  # it is about to open its keys, or about to say something
        if is_up and self.random.random() < UP_FIRST_WORD:
            while not self.unanswered:
                self._take(_next(reports))
        else:
            time.sleep(self.random.uniform(0, ALIVE_SECONDS_MAX))

    def _take(self, report: Json) -> None:
        if "kept" in report:
            self.kept.append(report["kept"])
            self.unanswered = report["kept"]
        elif "answered" in report:
            self.unanswered = ""
        elif "ct" in report:
            index = MegolmMessage.from_base64(report["ct"]).message_index()
            self.sent[report["sid"], index].add(report["ct"])
            self.requests += 1

    def judge(self, bob: Talker) -> list[str]:
        """Return what is wrong, now that all is said."""
        history = bob.history()
        shown = bob.device.read([received(each, "bob") for each in history])
        unread = [each for each in shown if each.refusal]
        said = Counter(each.body for each in shown if each.user == "alice")
        steps = Counter(_step(each) for each in history)
        met = self._met([each.body for each in shown])
        expected = OUTBOXES if self.kills >= LONG_KILLS else OUTBOXES[:1]
        left = bob.client.call("td.fetch", after=0, limit=100)["items"]
        wrong = {
            "lost": [body for body in self.kept if body not in said],
            "said twice": [body for body, count in said.items() if count > 1],
            "a step with two ciphertexts": [key for key, cts in self.sent.items() if len(cts) > 1],
            "a step stored twice": [key for key, count in steps.items() if count > 1],
            "not read": [str(each.refusal) for each in unread],
            "left in the mailbox": left,
            "no kill met": [what for what in expected if not met[what]],
        }
        print(f"{len(history)} messages, {len(self.kept)} kept before a kill, {self.requests} sent")
        print("kills met " + ", ".join(f"{met[what]} {what}" for what in OUTBOXES))
        return [f"{what}: {found}" for what, found in wrong.items() if found]

    def _met(self, bodies: list[str]) -> Counter[str]:
        """Return how many kills met an outbox of which kind."""
        places = {body: place for place, body in enumerate(bodies)}
        return Counter(
            "stored" if places[body] < places[before] else "waiting"
            for body, before in self.interrupted
            if body in places
        )


def _next(reports: Connection) -> Json:
    """Return what the client reports next. Raises Stuck."""
    if not reports.poll(REPORT_SECONDS_MAX):
        raise Stuck("it says nothing any more")
    try:
        return reports.recv()
    except EOFError:
        raise Stuck("it ended by itself") from None


def _words_of_bob(number: int) -> str:
    return f"bob {number}"


def _step(message: Json) -> tuple[str, int]:
    ct = message["enc"]["ct"]
    return message["enc"]["sid"], MegolmMessage.from_base64(ct).message_index()


def kill(kills: int, seed: int, folder: Path) -> list[str]:
    """Kill a client so often; return what is wrong then."""
    random = Random(seed)
    _PROCESSES.set_forkserver_preload(["tests.kit.encrypting"])
    server = ServerProcess(folder, **SETTINGS)
    try:
        server.start()
        bob = Talker(server.port, "bob", folder)
        bob.do(bob.device.start(now()))
        alice = Talker(server.port, "alice", folder)
        bob.do(bob.device.encrypt_room(ROOM))
        alice.close()
        evening = Evening(folder, server, random)
        for number in range(kills):
            try:
                evening.kill_once(number)
            except Stuck as stuck:
                return [f"before kill {number + 1} of seed {seed}: {stuck}"]
            bob.fetch()
            if random.random() < 0.3:  # a new key, for alice to find in her mailbox
                with bob.store.transaction():
                    bob.store.delete("outbound", ROOM)
            bob.do(bob.device.say(ROOM, _words_of_bob(number), now()))
            if number % 20 == 19:
                print(f"{number + 1} kills, {len(evening.kept)} messages kept", flush=True)
        alice = Talker(server.port, "alice", folder)
        alice.do(alice.device.start(now()))
        bob.fetch()
        wrong = evening.judge(bob)
        alice.fetch()
        if alice.client.call("td.fetch", after=0, limit=100)["items"]:
            wrong.append("alice's mailbox is not empty")
        alice.close()
        bob.close()
        return wrong
    finally:
        server.kill()


def _run(given: Namespace) -> bool:
    def kill_all(_name: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            return kill(given.kills, given.seed, Path(folder))

    return hold(["kills of a client"], kill_all)


KIND = Kind(_run, options={"kills": (200, "how many")})
