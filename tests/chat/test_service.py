"""The service without sockets: what goes wrong only when something happens between two switches.

Each test holds one request where it waits, and lets another one overtake it.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import gevent
import pytest
from passlib.hash import argon2

from app.chat.service import Service
from app.database.database import Database
from app.database.migration import migrate
from app.engine.presence import Session
from app.errors import LoginRefused, NotPossible, Unavailable
from app.protocol import accounts as protocol
from app.protocol import moderation, removal, talk
from app.protocol.command import Command, Level
from app.protocol.event import Event
from app.protocol.rooms import Join, Rooms
from app.queries import accounts
from app.settings import Settings
from app.values.times import now
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.fakes import FakeClient


class House:
    """A service on a database of its own, and its people."""

    def __init__(self, folder: Path, clock: Callable[[], int] = now) -> None:
        url = f"sqlite:///{folder / 'greenroom.db'}"
        migrate(url)
        self.database = Database(url, "normal")
        self.service = Service(self.database, Settings(data_dir=folder), clock)

    def do(self, session: Session, *asked: Command) -> None:
        for command in asked:
            self.service.handle(session, command)

    def come(self, command: Command, client: FakeClient | None = None) -> Session:
        """Connect, and register or log in."""
        session = self.service.connect(client or FakeClient())
        self.do(session, command)
        return session

    def register(self, name: str) -> Session:
        return self.come(protocol.Register(name, "secret"))

    def log_in(self, name: str, client: FakeClient | None = None) -> Session:
        return self.come(protocol.Login(name, "secret"), client)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with gevent.Timeout(WAIT_SECONDS_MAX):
        made = House(tmp_path)
        yield made
        made.service.close()


def _mail(session: Session) -> list[str]:
    """Return the private messages that a session was shown."""
    bodies = []
    for event in session.client.shown:
        shown = event.messages if isinstance(event, talk.MailShown) else [event]
        bodies += [each.body for each in shown if isinstance(each, talk.PrivatelySaid)]
    return bodies


@pytest.fixture
def letters(house: House, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Alice, who has written to bob more than a page while he was away."""
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_PAGE", 2)
    alice, bob = house.register("alice"), house.register("bob")
    house.service.disconnect(bob)
    house.do(alice, *(talk.Tell("bob", body) for body in ALL_LETTERS))
    return alice


ALL_LETTERS = ["one", "two", "three", "four", "five"]


class _Interrupted(FakeClient):
    """Somebody to whom something happens while they are shown their letters."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        super().__init__()
        self._interrupt = interrupt

    def show_at_leisure(self, event: Event) -> None:
        self.show(event)
        if isinstance(event, talk.MailShown):
            self._interrupt()


# Who is written to while they are shown what came before is shown all of it, and the new one once.
def test_a_letter_that_comes_while_others_are_read(house: House, letters: Session) -> None:
    client = _Interrupted(lambda: house.do(letters, talk.Tell("bob", "soup?")))
    bob = house.log_in("bob", client)
    assert [body for body in _mail(bob) if body != "soup?"] == ALL_LETTERS
    house.service.disconnect(bob)
    assert _mail(house.log_in("bob")) == []


class _Leaving(FakeClient):
    """Somebody who hangs up as soon as they are logged in."""

    def show(self, *shown: Event) -> None:
        super().show(*shown)
        self.is_closing |= isinstance(shown[0], protocol.LoggedIn)


# What somebody could not be shown because they were gone, they are shown when they come back.
def test_letters_to_one_who_hung_up(house: House, letters: Session) -> None:
    house.service.disconnect(house.log_in("bob", _Leaving()))
    assert _mail(house.log_in("bob")) == ALL_LETTERS


# So it is when they hang up between two pages, and another session of theirs is written to.
def test_letters_to_one_who_hangs_up_in_the_middle(house: House, letters: Session) -> None:
    others: list[Session] = []

    def hang_up() -> None:
        client.is_closing = True
        others.append(house.log_in("bob"))
        house.do(letters, talk.Tell("bob", "soup?"))

    client = _Interrupted(hang_up)
    house.service.disconnect(house.log_in("bob", client))
    assert _mail(others[0]) == [*ALL_LETTERS, "soup?"]


# A letter to somebody whose only connection is just being closed waits like any other.
def test_a_letter_to_one_who_is_being_closed(house: House) -> None:
    alice, bob = house.register("alice"), house.register("bob")
    bob.client.is_closing = True
    house.do(alice, talk.Tell("bob", "soup?"))
    assert _mail(house.log_in("bob")) == ["soup?"]


@pytest.fixture
def while_verifying(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], object]], None]:
    """Return what makes something happen while the next password is looked at."""
    hasher = house.service.accounts._hasher
    verify = hasher.verify

    def arrange(act: Callable[[], object]) -> None:
        def verify_late(*arguments: object) -> tuple[bool, str | None]:
            monkeypatch.undo()
            answer = verify(*arguments)
            act()
            return answer

        monkeypatch.setattr(hasher, "verify", verify_late)

    return arrange


# Logins wait for their turn before they read anything: a flood of them holds up no history or join.
def test_a_flood_of_logins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.register("bob")
    reads, read = [], house.database.read
    monkeypatch.setattr(house.database, "read", lambda work: (reads.append(work), read(work))[1])
    with house.service.accounts._hasher._turns.turn(FakeClient()):
        flood = [gevent.spawn(house.log_in, "bob") for _ in range(3)]
        gevent.idle()
        assert not reads
    gevent.joinall(flood, raise_error=True)
    assert reads


# A changed password ends all tokens: also one that the old password is just asking for.
def test_no_token_for_a_password_that_was_changed(
    house: House, while_verifying: Callable[..., None]
) -> None:
    bob = house.register("bob")
    while_verifying(lambda: house.do(bob, protocol.Passwd("secret", "better")))
    with pytest.raises(LoginRefused):
        house.come(protocol.Login("bob", "secret", remember="stolen"))
    house.do(bob, protocol.Tokens())
    assert bob.client.shown[-1] == protocol.TokensListed([])


# Nobody gets in who was shut out while their password was looked at.
@pytest.mark.parametrize(
    ("values", "code"),
    [({"is_disabled": True}, "disabled"), ({"password_hash": "another"}, "login_refused")],
    ids=["disabled", "password changed"],
)
def test_shut_out_while_logging_in(
    house: House, while_verifying: Callable[..., None], values: dict[str, object], code: str
) -> None:
    bob = house.register("bob")
    user_id = bob.speaker.id
    change = functools.partial(accounts.change, user_id=user_id, **values)
    while_verifying(lambda: house.database.write(change))
    with pytest.raises(LoginRefused) as refused:
        house.log_in("bob")
    assert refused.value.code == code


# What the operator changes holds for a login that is past its password: nobody slips in on what was
# read before.
def test_an_account_that_is_changed_at_the_end_of_a_login(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.register("bob")
    operator = house.service.connect_operator(FakeClient())
    make = house.service.accounts._tokens.make

    def log_in_during(change: Command) -> Session:
        def make_late(*arguments: object) -> str | None:
            token = make(*arguments)
            house.do(operator, change)
            return token

        monkeypatch.setattr(house.service.accounts._tokens, "make", make_late)
        return house.come(protocol.Login("bob", "secret", remember="bot"))

    for change, refusal in (
        (protocol.UserPassword("bob", "other"), "the account was changed meanwhile"),
        (protocol.UserDisable("bob"), "this account is disabled"),
    ):
        with pytest.raises(LoginRefused, match=refusal):
            log_in_during(change)
        house.do(operator, protocol.UserEnable("bob"), protocol.UserPassword("bob", "secret"))
    assert log_in_during(protocol.UserAdmin("bob")).level is Level.ADMIN
    assert log_in_during(protocol.UserAdmin("bob", is_admin=False)).level is Level.USER


# A login that asks for a token while its account is shut out leaves none that is good later.
@pytest.mark.parametrize(
    ("shut", "let_in"),
    [
        (protocol.UserDisable("bob"), protocol.UserEnable("bob")),
        (moderation.ServerBan("bob"), moderation.ServerUnban("bob")),
    ],
    ids=["disable", "ban"],
)
@pytest.mark.parametrize("is_before", [True, False])
def test_a_token_that_is_made_while_its_account_is_shut_out(
    house: House, monkeypatch: pytest.MonkeyPatch, shut: Command, let_in: Command, is_before: bool
) -> None:
    house.register("bob")
    operator = house.service.connect_operator(FakeClient())
    tokens = house.service.accounts._tokens
    make = tokens.make

    def make_late(*arguments: object) -> str | None:
        if is_before:
            house.do(operator, shut)
        token = make(*arguments)
        if not is_before:
            house.do(operator, shut)
        return token

    monkeypatch.setattr(tokens, "make", make_late)
    with pytest.raises(LoginRefused):
        house.come(protocol.Login("bob", "secret", remember="bot"))
    house.do(operator, let_in)
    bob = house.log_in("bob")
    house.do(bob, protocol.Tokens())
    assert bob.client.shown[-1].tokens == []


# Who is let in again while they wait to log in by a token has none any more.
def test_a_token_that_ends_while_it_logs_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = house.come(protocol.Register("bob", "secret", remember="bot"))
    token = bob.client.shown[-1].token
    operator = house.service.connect_operator(FakeClient())
    acts = (protocol.UserDisable("bob"), protocol.UserEnable("bob"))
    monkeypatch.setattr(
        house.service.accounts._tokens, "note_use", lambda _: house.do(operator, *acts)
    )
    with pytest.raises(LoginRefused, match="does not log anybody in"):
        house.come(protocol.Login(token=token))


# A password that is changed while its account waits to be deleted keeps it.
def test_a_password_that_is_changed_before_a_deletion(
    house: House, while_verifying: Callable[..., None]
) -> None:
    bob = house.register("bob")
    thief = house.log_in("bob")
    while_verifying(lambda: house.do(bob, protocol.Passwd("secret", "better")))
    with pytest.raises((LoginRefused, NotPossible)):
        house.do(thief, protocol.Unregister("secret"))
    house.come(protocol.Login("bob", "better"))


# Of two who change one password at once, one does; the other has ended by then.
def test_a_password_is_changed_once(house: House, while_verifying: Callable[..., None]) -> None:
    bob = house.register("bob")
    thief = house.log_in("bob")
    while_verifying(lambda: house.do(bob, protocol.Passwd("secret", "better")))
    with pytest.raises((LoginRefused, NotPossible)):
        house.do(thief, protocol.Passwd("secret", "mine"))
    house.come(protocol.Login("bob", "better"))


# A login that stores its password's hash anew does not bring back a password that was changed.
def test_a_new_hash_of_an_old_password(house: House, while_verifying: Callable[..., None]) -> None:
    bob = house.register("bob")
    weak = argon2.using(type="id", memory_cost=1_024, rounds=1, parallelism=1).hash("secret")
    house.service.accounts._hasher.hash = lambda *_: weak
    house.do(bob, protocol.Passwd("secret", "secret"))
    del house.service.accounts._hasher.hash
    while_verifying(lambda: house.do(bob, protocol.Passwd("secret", "better")))
    with pytest.raises(LoginRefused):
        house.log_in("bob")
    house.come(protocol.Login("bob", "better"))


# A moderator who is sent out while they wait for their turn does not set the topic any more.
def test_a_topic_by_one_who_was_sent_out(house: House) -> None:
    owner, moderator = house.register("alice"), house.register("bob")
    for session in (owner, moderator):
        house.do(session, Join("lobby"))
    house.do(owner, moderation.Promote("bob"))
    rooms = house.service.rooms
    with rooms.deciding(owner.rooms["lobby"]):
        kicking = gevent.spawn(house.do, owner, moderation.Kick("bob"))
        while not owner.rooms["lobby"].holds > 1:
            gevent.sleep(0)
        setting = gevent.spawn(house.do, moderator, moderation.Topic("Mine!"))
        gevent.idle()
    kicking.get()
    with pytest.raises(NotPossible):
        setting.get()
    assert owner.rooms["lobby"].topic == ""


# Exactly as many rooms as are listed are all of them.
def test_as_many_rooms_as_are_listed(house: House) -> None:
    bob = house.register("bob")
    for name in ("one", "two"):
        house.do(bob, Join(name))
    house.do(bob, Rooms(count=2))
    assert bob.client.shown[-1].has_more is False
    house.do(bob, Join("three"), Rooms(count=2))
    assert bob.client.shown[-1].has_more is True


def _refused(house: House, session: Session, command: Command) -> str:
    with pytest.raises(Unavailable) as refused:
        house.do(session, command)
    return refused.value.code


# Whoever comes back is shown the newest of what they were sent, and told how many are older. Those
# of whom they ignore are neither shown nor counted, and take no other's place.
def test_the_newest_letters(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_SHOWN_MAX", 3)
    alice, bob, mallory = (house.register(name) for name in ("alice", "bob", "mallory"))
    house.do(bob, talk.Ignore("mallory"))
    house.service.disconnect(bob)
    house.do(alice, *(talk.Tell("bob", body) for body in ALL_LETTERS))
    house.do(mallory, *(talk.Tell("bob", f"spam {number}") for number in range(7)))
    bob = house.log_in("bob")
    assert _mail(bob) == ALL_LETTERS[-3:]
    assert [each.older for each in bob.client.shown if isinstance(each, talk.MailShown)] == [2]
    house.service.disconnect(bob)
    assert _mail(house.log_in("bob")) == []


# Nobody leaves more with somebody who is away than their share; others still can. When it was read
# they can again, and who is here takes any number.
def test_a_full_mailbox(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_OF_ONE_MAX", 4)
    alice, bob, carol = (house.register(name) for name in ("alice", "bob", "carol"))
    house.do(alice, *[talk.Tell("bob", "you are here")] * 7)
    house.service.disconnect(bob)
    house.do(alice, *[talk.Tell("bob", "soup?")] * 2)
    house.service._private._unread.clear()  # as of somebody whose mail nobody counted lately
    house.do(alice, *[talk.Tell("bob", "soup?")] * 2)
    for _ in range(2):
        assert _refused(house, alice, talk.Tell("bob", "soup!")) == "mailbox_full"
    house.do(carol, talk.Tell("bob", "tea?"))
    bob = house.log_in("bob")
    assert _mail(bob) == ["soup?"] * 4 + ["tea?"]
    house.do(alice, *[talk.Tell("bob", "you are here")] * 7)
    house.service.disconnect(bob)
    house.do(alice, talk.Tell("bob", "soup?"))


# The more others leave, the less one may; and what is purged does not count.
def test_the_share_of_a_mailbox(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_MAX", 44)
    people = [house.register(name) for name in ("alice", "carol", "dora")]
    house.service.disconnect(house.register("bob"))
    left = []
    for each in people:
        left.append(0)
        with suppress(Unavailable):
            for left[-1] in range(10):
                house.do(each, talk.Tell("bob", "soup?"))
    assert left == [4, 3, 3]
    operator = house.service.connect_operator(FakeClient())
    house.do(operator, removal.Purge(user="alice"))
    house.do(people[0], *[talk.Tell("bob", "sorry")] * 3)
