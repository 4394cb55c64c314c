"""The service without sockets: what goes wrong only when something happens between two switches.

Each test holds one request where it waits, and lets another one overtake it.
"""

from collections.abc import Callable
from contextlib import suppress

import gevent
import pytest
from passlib.hash import argon2

from app.engine.presence import Session
from app.errors import LoginRefused, NotPossible, Unavailable
from app.protocol import accounts as protocol
from app.protocol import moderation, removal, talk
from app.protocol.command import Command, Level
from app.protocol.event import Event
from app.protocol.rooms import Join, Rooms
from tests.kit.fakes import FakeClient
from tests.kit.house import House

BETTER = protocol.Passwd("secret", "better")
ALL_LETTERS = ["one", "two", "three", "four", "five"]


def _mail(session: Session) -> list[str]:
    """Return the private messages that a session was shown."""
    bodies = []
    for event in session.client.shown:
        shown = event.messages if isinstance(event, talk.MailShown) else [event]
        bodies += [each.body for each in shown if isinstance(each, talk.PrivatelySaid)]
    return bodies


@pytest.fixture
def letters(house: House, monkeypatch) -> Session:
    """Alice, who has written to bob more than a page while he was away."""
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_PAGE", 2)
    alice, bob = house.register("alice"), house.register("bob")
    house.leave(bob)
    house.do(alice, *(talk.Tell("bob", body) for body in ALL_LETTERS))
    return alice


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
    house.leave(bob)
    assert _mail(house.log_in("bob")) == []


class _Leaving(FakeClient):
    """Somebody who hangs up as soon as they are logged in."""

    def show(self, *shown: Event) -> None:
        super().show(*shown)
        self.is_closing |= isinstance(shown[0], protocol.LoggedIn)


# What somebody could not be shown because they were gone, they are shown when they come back.
def test_letters_to_one_who_hung_up(house: House, letters: Session) -> None:
    house.leave(house.log_in("bob", _Leaving()))
    assert _mail(house.log_in("bob")) == ALL_LETTERS


# So it is when they hang up between two pages, and another session of theirs is written to.
def test_letters_to_one_who_hangs_up_in_the_middle(house: House, letters: Session) -> None:
    others: list[Session] = []

    def hang_up() -> None:
        client.is_closing = True
        others.append(house.log_in("bob"))
        house.do(letters, talk.Tell("bob", "soup?"))

    client = _Interrupted(hang_up)
    house.leave(house.log_in("bob", client))
    assert _mail(others[0]) == [*ALL_LETTERS, "soup?"]


# A letter to somebody whose only connection is just being closed waits like any other.
def test_a_letter_to_one_who_is_being_closed(house: House) -> None:
    alice, bob = house.register("alice"), house.register("bob")
    bob.client.is_closing = True
    house.do(alice, talk.Tell("bob", "soup?"))
    assert _mail(house.log_in("bob")) == ["soup?"]


@pytest.fixture
def while_verifying(house: House, meanwhile) -> Callable[[Callable[[], object]], None]:
    """Return what makes something happen while the next password is looked at."""
    return lambda act: meanwhile(house.service.accounts._hasher, "verify", act)


# Logins wait for their turn before they read anything: a flood of them holds up no history or join.
def test_a_flood_of_logins(house: House, monkeypatch) -> None:
    house.register("bob")
    readers, read = [], house.database.read

    def noted(work: Callable[[object], object]) -> object:
        readers.append(gevent.getcurrent())
        return read(work)

    monkeypatch.setattr(house.database, "read", noted)
    with house.service.accounts._hasher._turns.turn(FakeClient()):
        flood = [gevent.spawn(house.log_in, "bob") for _ in range(3)]
        gevent.idle()
        assert not set(flood) & set(readers)  # but for them, upkeep reads
    gevent.joinall(flood, raise_error=True)
    assert set(flood) <= set(readers)


# A changed password ends all tokens: also one that the old password is just asking for.
def test_no_token_for_a_password_that_was_changed(house: House, while_verifying) -> None:
    bob = house.register("bob")
    while_verifying(lambda: house.do(bob, BETTER))
    with pytest.raises(LoginRefused):
        house.come(protocol.Login("bob", "secret", remember="stolen"))
    assert house.do(bob, protocol.Tokens()) == protocol.TokensListed([])


# Who is shut out while their password is looked at does not get in: the right one opens nothing.
@pytest.mark.parametrize(
    ("act", "lift", "code"),
    [
        (moderation.ServerBan("bob"), moderation.ServerUnban("bob"), "banned"),
        (protocol.UserDisable("bob"), protocol.UserEnable("bob"), "disabled"),
        (
            protocol.UserPassword("bob", "other"),
            protocol.UserPassword("bob", "secret"),
            "login_refused",
        ),
    ],
    ids=["ban", "disable", "new password"],
)
@pytest.mark.parametrize("remember", ["", "stolen"])
def test_shut_out_while_logging_in(
    house: House, while_verifying, act: Command, lift: Command, code: str, remember: str
) -> None:
    house.leave(house.register("bob"))
    while_verifying(lambda: house.act(act))
    with pytest.raises(LoginRefused) as refused:
        house.come(protocol.Login("bob", "secret", remember=remember))
    assert refused.value.code == code
    assert house.service.accounts.user_here(1) is None
    house.act(lift)
    assert house.do(house.log_in("bob"), protocol.Tokens()).tokens == []


# What the operator changes holds for a login that is past its password: nobody slips in on what was
# read before.
def test_an_account_that_is_changed_at_the_end_of_a_login(house: House, meanwhile) -> None:
    house.register("bob")

    def log_in_during(change: Command) -> Session:
        meanwhile(house.service.accounts._tokens, "make", lambda: house.act(change))
        return house.come(protocol.Login("bob", "secret", remember="bot"))

    for change, refusal in (
        (protocol.UserPassword("bob", "other"), "the account was changed meanwhile"),
        (protocol.UserDisable("bob"), "this account is disabled"),
    ):
        with pytest.raises(LoginRefused, match=refusal):
            log_in_during(change)
        house.act(protocol.UserEnable("bob"), protocol.UserPassword("bob", "secret"))
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
    house: House, meanwhile, shut: Command, let_in: Command, is_before: bool
) -> None:
    house.register("bob")
    meanwhile(house.service.accounts._tokens, "make", lambda: house.act(shut), first=is_before)
    with pytest.raises(LoginRefused):
        house.come(protocol.Login("bob", "secret", remember="bot"))
    house.act(let_in)
    assert house.do(house.log_in("bob"), protocol.Tokens()).tokens == []


# Who is let in again while they wait to log in by a token has none any more.
def test_a_token_that_ends_while_it_logs_in(house: House, meanwhile) -> None:
    bob = house.come(protocol.Register("bob", "secret", remember="bot"))
    acts = (protocol.UserDisable("bob"), protocol.UserEnable("bob"))
    meanwhile(house.service.accounts._tokens, "note_use", lambda: house.act(*acts))
    with pytest.raises(LoginRefused, match="does not log anybody in"):
        house.come(protocol.Login(token=bob.client.shown[-1].token))


# Of two who change one password at once, one does; the other has ended by then. So has one who
# deletes the account: it is kept.
@pytest.mark.parametrize(
    "late", [protocol.Passwd("secret", "mine"), protocol.Unregister("secret")], ids=["pw", "delete"]
)
def test_a_password_is_changed_once(house: House, while_verifying, late: Command) -> None:
    bob, thief = house.register("bob"), house.log_in("bob")
    while_verifying(lambda: house.do(bob, BETTER))
    with pytest.raises((LoginRefused, NotPossible)):
        house.do(thief, late)
    house.come(protocol.Login("bob", "better"))


# A login that stores its password's hash anew does not bring back a password that was changed.
def test_a_new_hash_of_an_old_password(house: House, while_verifying) -> None:
    bob = house.register("bob")
    weak = argon2.using(type="id", memory_cost=1_024, rounds=1, parallelism=1).hash("secret")
    house.service.accounts._hasher.hash = lambda *_: weak
    house.do(bob, protocol.Passwd("secret", "secret"))
    del house.service.accounts._hasher.hash
    while_verifying(lambda: house.do(bob, BETTER))
    with pytest.raises(LoginRefused):
        house.log_in("bob")
    house.come(protocol.Login("bob", "better"))


# A moderator who is sent out while they wait for their turn does not set the topic any more.
def test_a_topic_by_one_who_was_sent_out(house: House) -> None:
    owner, moderator = house.register("alice", "lobby"), house.register("bob", "lobby")
    house.do(owner, moderation.Promote("bob"))
    rooms = house.service.rooms
    with rooms.deciding(owner.rooms["lobby"]):
        kicking = gevent.spawn(house.do, owner, moderation.Kick("bob"))
        house.hold_until(owner.rooms["lobby"], 2)
        setting = gevent.spawn(house.do, moderator, moderation.Topic("Mine!"))
        gevent.idle()
    kicking.get()
    with pytest.raises(NotPossible):
        setting.get()
    assert owner.rooms["lobby"].topic == ""


# Exactly as many rooms as are listed are all of them.
def test_as_many_rooms_as_are_listed(house: House) -> None:
    bob = house.register("bob")
    assert house.do(bob, Join("one"), Join("two"), Rooms(count=2)).has_more is False
    assert house.do(bob, Join("three"), Rooms(count=2)).has_more is True


# Whoever comes back is shown the newest of what they were sent, and told how many are older. Those
# of whom they ignore are neither shown nor counted, and take no other's place.
def test_the_newest_letters(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_SHOWN_MAX", 3)
    alice, bob, mallory = (house.register(name) for name in ("alice", "bob", "mallory"))
    house.do(bob, talk.Ignore("mallory"))
    house.leave(bob)
    house.do(alice, *(talk.Tell("bob", body) for body in ALL_LETTERS))
    house.do(mallory, *(talk.Tell("bob", f"spam {number}") for number in range(7)))
    bob = house.log_in("bob")
    assert _mail(bob) == ALL_LETTERS[-3:]
    assert [each.older for each in bob.client.shown if isinstance(each, talk.MailShown)] == [2]
    house.leave(bob)
    assert _mail(house.log_in("bob")) == []


# Nobody leaves more with somebody who is away than their share; others still can. When it was read
# they can again, and who is here takes any number.
def test_a_full_mailbox(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_OF_ONE_MAX", 4)
    alice, bob, carol = (house.register(name) for name in ("alice", "bob", "carol"))
    house.do(alice, *[talk.Tell("bob", "you are here")] * 7)
    house.leave(bob)
    house.do(alice, *[talk.Tell("bob", "soup?")] * 2)
    house.service._private._unread.clear()  # as of somebody whose mail nobody counted lately
    house.do(alice, *[talk.Tell("bob", "soup?")] * 2)
    for _ in range(2):
        assert house.refused(alice, talk.Tell("bob", "soup!")) == "mailbox_full"
    house.do(carol, talk.Tell("bob", "tea?"))
    bob = house.log_in("bob")
    assert _mail(bob) == ["soup?"] * 4 + ["tea?"]
    house.do(alice, *[talk.Tell("bob", "you are here")] * 7)
    house.leave(bob)
    house.do(alice, talk.Tell("bob", "soup?"))


# The more others leave, the less one may; and what is purged does not count.
def test_the_share_of_a_mailbox(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.chat.talk.private.MAILBOX_MAX", 44)
    people = [house.register(name) for name in ("alice", "carol", "dora")]
    house.leave(house.register("bob"))
    left = []
    for each in people:
        left.append(0)
        with suppress(Unavailable):
            for left[-1] in range(10):
                house.do(each, talk.Tell("bob", "soup?"))
    assert left == [4, 3, 3]
    house.act(removal.Purge(user="alice"))
    house.do(people[0], *[talk.Tell("bob", "sorry")] * 3)
