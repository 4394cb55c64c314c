"""Bans, told by a clock that the test holds, and across a restart."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest

from app.chat.service import Service
from app.database.database import Database
from app.database.opening import open_database
from app.errors import Forbidden
from app.protocol import accounts, moderation, rooms, talk
from app.protocol.command import Command
from app.protocol.event import Event
from app.settings import Settings
from tests.kit.fakes import FakeClient

MINUTE = 60_000


class Chat:
    """The service on a database of its own, with a clock that stands still until it is moved."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_800_000_000_000
        self._settings = Settings(data_dir=folder, login_attempts=0)
        self.open()

    def open(self) -> None:
        self._lock = open_database(self._settings.url, lambda _: None)
        self._database = Database(self._settings.url, "normal")
        self._service = Service(self._database, self._settings, lambda: self.now)

    def close(self) -> None:
        self._service.close()
        self._lock.release()

    def person(self, name: str, *, is_new: bool = True) -> Callable[..., Event]:
        """Log somebody in, and return what makes them do something and tells what they see last."""
        client = FakeClient()
        session = self._service.connect(client)

        def do(command: Command) -> Event:
            self._service.handle(session, command)
            self._service.journal.settle(session)
            return client.shown[-1]

        do((accounts.Register if is_new else accounts.Login)(name, "secret"))
        return do

    def hasty(self, name: str) -> Callable[[Command | None], None]:
        """Log somebody in who waits for nothing: None is their line that drops."""
        session = self._service.connect(FakeClient())
        self._service.handle(session, accounts.Login(name, "secret"))

        def do(command: Command | None) -> None:
            if command is None:
                self._service.disconnect(session)
            else:
                self._service.handle(session, command)

        return do

    @contextmanager
    def held_writer(self) -> Iterator[None]:
        """Let nothing be committed meanwhile."""
        is_held, may_go_on = threading.Event(), threading.Event()

        def hold(_connection: object) -> None:
            is_held.set()
            may_go_on.wait()

        holder = gevent.spawn(self._database.write, hold)
        while not is_held.is_set():
            gevent.sleep(0.001)
        yield
        may_go_on.set()
        holder.get()


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    chat = Chat(tmp_path / "var")
    yield chat
    chat.close()


# A ban for a time ends on time and not a millisecond before, also when the server was restarted.
@pytest.mark.parametrize("is_restarted", [False, True])
def test_timed_ban_ends_on_time(chat: Chat, is_restarted: bool) -> None:
    owner, bob = chat.person("owner"), chat.person("bob")
    owner(rooms.Join("lobby"))
    owner(moderation.Ban("bob", 30 * 60, "spam"))
    if is_restarted:
        chat.close()
        chat.open()
        bob = chat.person("bob", is_new=False)
    chat.now += 30 * MINUTE - 1
    with pytest.raises(Forbidden, match=r"banned from lobby until 2027-01-15 08:30 UTC \(spam\)"):
        bob(rooms.Join("lobby"))
    chat.now += 1
    assert isinstance(bob(rooms.Join("lobby")), rooms.Entered)


# A mute ends on time too, and until then costs its target nothing but their voice.
def test_timed_mute_ends_on_time(chat: Chat) -> None:
    owner, bob = chat.person("owner"), chat.person("bob")
    owner(rooms.Join("lobby"))
    bob(rooms.Join("lobby"))
    owner(moderation.Mute("bob", 60))
    with pytest.raises(Forbidden, match="muted in lobby until"):
        bob(talk.Say("hello"))
    assert isinstance(bob(rooms.Who()), rooms.PeopleListed)
    chat.now += MINUTE
    bob(talk.Say("hello again"))


# A clock that jumps a day and back lets nobody in for good: the ban holds again.
def test_clock_that_jumps_back_finds_the_ban_again(chat: Chat) -> None:
    owner, bob = chat.person("owner"), chat.person("bob")
    owner(rooms.Join("lobby"))
    owner(moderation.Ban("bob", 60 * 60))
    chat.now += 24 * 60 * MINUTE
    bob(rooms.Join("lobby"))
    bob(rooms.Leave())
    chat.now -= 24 * 60 * MINUTE
    with pytest.raises(Forbidden):
        bob(rooms.Join("lobby"))


# A clock that is a day wrong for a while, either way: what is in force for an hour ends at the time
# that was told, by the clock as it is, no earlier or later for the jump. What is said meanwhile has
# its place after what was said before.
@pytest.mark.parametrize("jump", [24 * 60 * MINUTE, -24 * 60 * MINUTE], ids=["ahead", "back"])
def test_clock_that_jumps_and_comes_back(chat: Chat, jump: int) -> None:
    owner, muted, banned = (chat.person(name) for name in ("owner", "muted", "banned"))
    said = []

    def check(*, is_over: bool) -> None:
        said.append(f"look {len(said)}")
        owner(talk.Say(said[-1]))
        for person, command in ((muted, talk.Say("me")), (banned, rooms.Join("lobby"))):
            if is_over:
                person(command)
            else:
                with pytest.raises(Forbidden, match="until 2027-01-15 09:00 UTC"):
                    person(command)
        if is_over:
            banned(rooms.Leave())

    for person in (owner, muted):
        person(rooms.Join("lobby"))
    owner(moderation.Mute("muted", 60 * 60))
    owner(moderation.Ban("banned", 60 * 60))
    check(is_over=False)
    chat.now += jump
    check(is_over=jump > 0)
    chat.now -= jump
    check(is_over=False)
    chat.now += 60 * MINUTE
    check(is_over=True)
    entered = chat.person("newcomer")(rooms.Join("lobby"))
    assert [each.body for each in entered.messages if each.body != "me"] == said


# A room stays live until what was said in it is released, though all have left and somebody who may
# not enter knocks meanwhile: whoever comes next is replayed all of it.
def test_room_outlives_its_last_words(chat: Chat) -> None:
    owner, bob, carol = chat.person("owner"), chat.person("bob"), chat.person("carol")
    owner(rooms.Join("lobby"))
    owner(moderation.Ban("bob"))
    owner(rooms.Leave())
    hasty = chat.hasty("owner")
    hasty(rooms.Join("lobby"))
    with chat.held_writer():
        hasty(talk.Say("last words"))
        hasty(None)
        with pytest.raises(Forbidden):
            bob(rooms.Join("lobby"))
    entered = carol(rooms.Join("lobby"))
    assert isinstance(entered, rooms.Entered)
    assert [said.body for said in entered.messages] == ["last words"]


# A ban holds for the account: in every spelling of its name, in each of its sessions, after a
# restart; /bans lists it, and the audit says who did it and why.
def test_ban_holds_everywhere(start_server, run_here) -> None:
    server = start_server()
    owner = server.connect().register("owner").join("lobby")
    first = server.connect().register("Bob").join("lobby")
    second = server.connect().log_in("Bob").join("lobby")
    owner.expect("Bob has joined the room.\r\n")
    owner.type("/ban BOB 2h being rude")
    owner.expect_lines("Bob was banned by owner for 2h (being rude).")
    for session in (first, second):
        session.expect("You were banned from lobby by owner for 2h (being rude).\r\n")
        session.type("hello", "/join LOBBY")
        session.expect_lines("Error: join a room first: /join ROOM")
        session.expect_line(r"Error: you are banned from lobby until .* UTC \(being rude\)")
    owner.expect_nothing_more()

    server.restart()
    returned = server.connect()
    returned.expect("login: ")
    returned.type("/login \uff42\uff4f\uff42 secret", "/join lobby")  # a full-width bob
    returned.expect("Hello, Bob.")
    returned.expect_line(".*")
    returned.expect_line(r"Error: you are banned from lobby until .* UTC \(being rude\)")
    owner = server.connect().log_in("owner").join("lobby")
    owner.type("/bans")
    owner.expect_line(r"  Bob is banned until .* UTC, by owner \(being rude\)")
    audit = run_here(server.folder, "audit", "--room", "lobby").output
    assert audit.splitlines()[-1].split("\t")[1:] == ["owner", "ban", "Bob", "lobby", "being rude"]
