"""Bans from the whole server, and mutes on it, without sockets: by whom, of whom, and for how long.

Time is an argument, and addresses are what a client says that it has.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from app.chat.accounts import passwords
from app.chat.accounts.server_bans import InForce
from app.chat.accounts.tokens import Tokens
from app.engine.presence import Session
from app.errors import (
    BadLine,
    Forbidden,
    LoginRefused,
    NotPossible,
    NotStored,
    Refusal,
    Unavailable,
)
from app.protocol import accounts, moderation, removal, rooms, talk
from app.protocol.command import Command
from app.queries.sanctions import StoredServerSanction
from app.values.networks import parse_network
from tests.chat.test_service import House
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.fakes import FakeClient
from tests.kit.prepared import QUICK_HASHES

START = 1_795_356_120_000  # 2026-11-22 14:02 UTC
HOUR = 3_600_000


class Place(House):
    """A house whose clock is set by hand, and its operator."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        super().__init__(folder, lambda: self.now)
        self.operator = self.service.connect_operator(FakeClient("control socket"))

    def act(self, *asked: Command) -> Any:
        """Let the operator act, and return the answer."""
        self.do(self.operator, *asked)
        return self.operator.client.shown[-1]

    def register_at(self, name: str, address: str) -> Session:
        return self.come(accounts.Register(name, "secret"), FakeClient(address))

    def come_from(self, address: str) -> Session:
        """Connect, and do not log in."""
        return self.service.connect(FakeClient(address))

    def is_banned(self, address: str) -> bool:
        return self.service.sanctions.ban_of(address) is not None


@pytest.fixture
def place(tmp_path: Path, new_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place where passwords are quick to look at."""
    shutil.copy(new_database, tmp_path)
    quick = passwords._context.copy(**QUICK_HASHES)
    monkeypatch.setattr(passwords, "_context", quick)
    with gevent.Timeout(WAIT_SECONDS_MAX):
        made = Place(tmp_path)
        yield made
        made.service.close()


# An address or a prefix means a network; what is neither may be a name.
@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:1::1", "2001:db8::/64"),
        ("2001:db8::1/128", "2001:db8::1/128"),
        ("2001:db8::/48", "2001:db8::/48"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("::ffff:cb00:7107", "203.0.113.7/32"),
        ("::ffff:203.0.113.7/120", "203.0.113.0/24"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("::1", "::1/128"),
        ("127.0.0.2/31", "127.0.0.2/31"),
    ],
)
def test_networks(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


@pytest.mark.parametrize("text", ["bob", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "dead", ""])
def test_names_are_no_networks(text: str) -> None:
    assert parse_network(text) is None


# What can be neither a name nor a network is refused, and so is what is surely a slip.
@pytest.mark.parametrize(
    "text",
    [
        *("1.2.3.4/33", "1.2.3.4/", "/24", "2001:db8::/129", "2001:db8:::1", "bob:", "1.2.3.4:80"),
        *("[::1]", "1.2.3.4/-1", "1.2.3.4/1_6", "0.0.0.0/0", "::/0", "128.0.0.0/1", "2000::/3"),
        *("::ffff:0:0/96", "127.0.0.0/8", "127.0.0.0/31", "::/64", "::1/64", "9" * 5000 + ":"),
    ],
)
def test_slips(text: str) -> None:
    with pytest.raises(BadLine):
        parse_network(text)


# Who is banned from an address is who is in its network, at whatever length, and nobody else.
def test_who_is_in_a_network(place: Place) -> None:
    for network, inside, outside in (
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::1"),
        ("2001:db8:7::/48", "2001:db8:7:ffff::1", "2001:db8:8::1"),
        ("203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8"),
        ("::ffff:203.0.113.9", "203.0.113.9", "::cb00:7109"),
        ("198.51.100.0/23", "198.51.101.255", "198.51.102.0"),
        ("0.0.0.0/8", "0.0.113.7", "::7"),
    ):
        there, elsewhere = place.come_from(inside), place.come_from(outside)
        assert place.act(moderation.ServerBan(network)).sessions == 1
        assert place.is_banned(inside)
        assert not place.is_banned(outside)
        assert there.client.shown[-1].code == "banned"
        assert not elsewhere.client.is_closing
        place.service.disconnect(elsewhere)


# Thousands of networks cost a look-up as little as the lengths of prefix that there are.
def test_many_networks() -> None:
    bans = [
        moderation.ServerSanction("", "alice", "", None, f"2001:db8:{number:x}::/48")
        for number in range(5_000)
    ]
    in_force = InForce(StoredServerSanction("ban", None, ban) for ban in bans)
    looked_up = []
    prefixes = in_force._kinds["ban"]
    prefixes.of = lambda key: looked_up.append(key) or type(prefixes).of(prefixes, key)
    assert in_force.ban_of_address("2001:db8:1387::1", START)
    assert in_force.ban_of_address("2001:db8:1388::1", START) is None
    assert len(looked_up) == 2


# A ban ends by the clock, to the millisecond, and a later one takes the place of an earlier one.
def test_bans_end(place: Place) -> None:
    bob = place.register("bob")
    place.act(moderation.ServerBan("bob", 3600, "spam"), moderation.ServerBan("203.0.113.7", 3600))
    with pytest.raises(
        LoginRefused, match=r"banned from this server until 2026-11-22 15:02 UTC \(spam\)"
    ):
        place.log_in("bob")
    place.now += HOUR - 1
    assert place.is_banned("203.0.113.7")
    place.now += 1
    assert not place.is_banned("203.0.113.7")
    assert place.log_in("bob").user is not bob.user
    place.act(moderation.ServerBan("bob"))
    place.now += 1000 * HOUR
    with pytest.raises(LoginRefused):
        place.log_in("bob")
    with place.database._reading.begin() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM server_sanctions").scalar()
    assert kept == 1  # what was over is forgotten


# Of all that one falls under, that which lasts longest holds; and what is ended leaves the others.
def test_several_mutes(place: Place) -> None:
    bob = place.register_at("bob", "203.0.113.7")
    place.do(bob, rooms.Join("den"))
    for target, seconds in (("203.0.113.0/24", 7200), ("bob", 3600), ("203.0.113.7", 60)):
        place.act(moderation.ServerMute(target, seconds))
        with pytest.raises(Forbidden, match="until 2026-11-22 16:02 UTC"):
            place.do(bob, talk.Say("hello"))
    place.act(moderation.ServerUnmute("203.0.113.0/24"))
    with pytest.raises(Forbidden, match="until 2026-11-22 15:02 UTC"):
        place.do(bob, talk.Say("hello"))
    place.now += HOUR
    place.do(bob, talk.Emote("waves"))
    assert list(bob.rooms["den"].recent)[-1].body == "waves"


# Who comes from a muted network is mute as soon as they log in, and who logs in elsewhere is not.
def test_a_muted_network(place: Place) -> None:
    place.act(moderation.ServerMute("2001:db8::1"))
    there = place.register_at("bob", "2001:db8::2")
    elsewhere = place.come(accounts.Login("bob", "secret"), FakeClient("203.0.113.7"))
    place.do(elsewhere, talk.Tell("bob", "hello"))
    with pytest.raises(Forbidden):
        place.do(there, talk.Tell("bob", "hello"))


# Admins act upon people: not upon themselves or where they are, nor upon admins or where one is.
def test_ranks(place: Place) -> None:
    place.register("alice"), place.register("carol")
    with place.database._writing.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET is_admin = 1")
    place.register_at("bob", "203.0.113.9")
    alice = place.come(accounts.Login("alice", "secret"), FakeClient("2001:db8::1"))
    place.come(accounts.Login("carol", "secret"), FakeClient("203.0.113.7"))
    for kind in (moderation.ServerKick, moderation.ServerBan, moderation.ServerMute):
        for target in ("ALICE", "2001:db8::/32", "2001:db8::2"):
            with pytest.raises(NotPossible, match="to yourself"):
                place.do(alice, kind(target))
        for target in ("carol", "@carol", "203.0.113.7", "203.0.113.0/24"):
            with pytest.raises(Forbidden, match="carol is an admin"):
                place.do(alice, kind(target))
    place.do(alice, moderation.ServerBan("203.0.113.9"))
    assert place.act(moderation.ServerBan("203.0.113.0/24")).sessions == 1


# A user whose name could be an address is named with an @ before it.
def test_a_name_like_an_address(place: Place) -> None:
    place.register_at("203.0.113.7", "198.51.100.1")
    assert place.act(moderation.ServerBan("203.0.113.7")).sessions == 0
    assert place.act(moderation.ServerBan("@203.0.113.7")).sessions == 1
    with pytest.raises(LoginRefused):
        place.log_in("203.0.113.7")


# Bans and mutes are there again after a restart.
def test_after_a_restart(place: Place, tmp_path: Path) -> None:
    place.register("bob"), place.register("carol")
    place.act(
        moderation.ServerBan("bob", 3600, "spam"),
        moderation.ServerBan("2001:db8::1"),
        moderation.ServerMute("carol"),
        moderation.ServerBan("203.0.113.7", 60),
    )
    place.operator.client.shown.clear()
    place.now += 60_000
    place.do(place.operator, moderation.ServerBans())
    again = Place(tmp_path)
    again.now = place.now
    again.do(again.operator, moderation.ServerBans())
    assert again.operator.client.shown == place.operator.client.shown
    assert len(again.operator.client.shown[-1].bans) == 2
    assert again.is_banned("2001:db8::2")
    with pytest.raises(LoginRefused, match="spam"):
        again.log_in("bob")
    again.service.close()


# There are so many and no more.
def test_too_many(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.chat.moderation.sanctions.SERVER_SANCTIONS_MAX", 2)
    place.act(moderation.ServerBan("203.0.113.7", 60), moderation.ServerBan("203.0.113.8"))
    with pytest.raises(Unavailable, match="there are 2 of these"):
        place.act(moderation.ServerBan("203.0.113.9"))
    place.now += 60_000
    place.act(moderation.ServerBan("203.0.113.9"))


# Does the write fail, nothing has changed, in memory either.
def test_a_ban_that_is_not_stored(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = place.register_at("bob", "203.0.113.7")

    def fail(_work: object) -> None:
        raise NotStored("not stored: no")

    for kind in (moderation.ServerBan, moderation.ServerMute, moderation.ServerKick):
        for target in ("bob", "203.0.113.7"):
            monkeypatch.setattr(place.database, "write", fail)
            with pytest.raises(NotStored):
                place.act(kind(target))
            monkeypatch.undo()
    place.do(bob, talk.Tell("bob", "still here"))
    assert not place.is_banned("203.0.113.7")
    place.log_in("bob")


# The network's own sessions before login go too, and what they ask for just now does not happen.
def test_registering_while_the_network_is_banned(place: Place) -> None:
    client = FakeClient("203.0.113.7")
    hash_password = place.service.accounts._hasher.hash

    def hash_late(*arguments: object) -> str:
        place.act(moderation.ServerBan("203.0.113.7"))
        return hash_password(*arguments)

    place.service.accounts._hasher.hash = hash_late
    with pytest.raises(NotPossible, match="you were sent away meanwhile"):
        place.come(accounts.Register("bob", "secret"), client)
    assert client.shown[-1].code == "banned"
    assert place.service.accounts.user_here(1) is None


# Who is shut out while their password is looked at does not get in: the right one opens nothing.
@pytest.mark.parametrize(
    ("act", "code"),
    [
        (moderation.ServerBan("bob"), "banned"),
        (accounts.UserDisable("bob"), "disabled"),
    ],
)
@pytest.mark.parametrize("remember", ["", "stolen"])
def test_shut_out_while_logging_in(
    place: Place, monkeypatch: pytest.MonkeyPatch, act: Command, code: str, remember: str
) -> None:
    place.service.disconnect(place.register("bob"))
    verify = place.service.accounts._hasher.verify

    def verify_late(*arguments: object) -> tuple[bool, str | None]:
        answer = verify(*arguments)
        place.act(act)
        return answer

    monkeypatch.setattr(place.service.accounts._hasher, "verify", verify_late)
    with pytest.raises(LoginRefused) as refused:
        place.come(accounts.Login("bob", "secret", remember=remember))
    assert refused.value.code == code
    monkeypatch.undo()
    assert place.service.accounts.user_here(1) is None
    lift = accounts.UserEnable if code == "disabled" else moderation.ServerUnban
    place.act(lift("bob"))
    place.log_in("bob")


# So it is while the token is being made that they asked for.
def test_banned_while_a_token_is_made(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.register("bob")
    make = Tokens.make

    def make_late(*arguments: object) -> str | None:
        token = make(*arguments)
        place.act(moderation.ServerBan("bob"))
        return token

    monkeypatch.setattr(Tokens, "make", make_late)
    with pytest.raises(LoginRefused, match="banned"):
        place.come(accounts.Login("bob", "secret", remember="stolen"))


# What the banned were just about to do, while they waited for others, does not happen any more.
@pytest.mark.parametrize(
    "late",
    [
        talk.Say("late"),
        talk.Emote("late"),
        talk.Tell("bob", "late"),
    ],
)
def test_waiting_to_speak(place: Place, late: Command) -> None:
    alice, bob = place.register("alice"), place.register("bob")
    for session in (alice, bob):
        place.do(session, rooms.Join("den"))
    journal = place.service.journal
    journal._has_room.clear()
    speaking = gevent.spawn(_refused, place, bob, late)
    gevent.idle()
    place.act(moderation.ServerBan("bob"))
    journal._has_room.set()
    assert speaking.get()
    journal.finish()
    assert not list(alice.rooms["den"].recent)
    assert alice.client.sent[-1] == b"Disconnected bob\n"


# So it is with a room that they were just entering, and one that they were just moderating.
def test_waiting_to_enter(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = place.register("alice"), place.register("bob")
    place.do(alice, rooms.Join("den"))
    replay_since = place.service.rooms._replay_since

    def replay_late(*arguments: object) -> object:
        place.act(moderation.ServerBan("bob"))
        return replay_since(*arguments)

    monkeypatch.setattr(place.service.rooms, "_replay_since", replay_late)
    with pytest.raises(NotPossible, match="you were sent away meanwhile"):
        place.do(bob, rooms.Join("den"))
    assert alice.rooms["den"].present.keys() == {alice.user}
    assert not any(b"Joined" in sent for sent in alice.client.sent)


def test_waiting_to_decide(place: Place) -> None:
    alice, bob = place.register("alice"), place.register("bob")
    place.do(bob, rooms.Join("den"))
    place.do(alice, rooms.Join("den"))
    den = bob.rooms["den"]
    with place.service.rooms.deciding(den):
        kicking = gevent.spawn(_refused, place, bob, moderation.Kick("alice"))
        while den.holds < 2:
            gevent.sleep(0)
        place.act(moderation.ServerBan("bob"))
    assert kicking.get() == "sent_out"
    assert den.present.keys() == {alice.user}


# An admin who is none any more when it is their turn bans nobody.
def test_waiting_without_rank(place: Place) -> None:
    alice, bob = place.register("alice"), place.register_at("bob", "203.0.113.7")
    alice.user.is_admin = True
    with place.service.sanctions._deciding:
        banning = gevent.spawn(_refused, place, alice, moderation.ServerBan("bob"))
        gevent.idle()
        alice.user.is_admin = False
    assert banning.get() == "not_allowed"
    assert not bob.client.is_closing


# Nor do they purge or delete anything: what they asked for, and had to wait for, is off.
def test_waiting_to_remove(place: Place) -> None:
    alice, bob = place.register("alice"), place.register("bob")
    place.do(bob, rooms.Join("den"), talk.Say("stays"))
    alice.user.is_admin = True
    with place.service._purging._purging, place.service.rooms.deciding(bob.rooms["den"]):
        acts = (removal.Purge(room="den"), rooms.RoomDelete("den"))
        removing = [gevent.spawn(_refused, place, alice, each) for each in acts]
        while bob.rooms["den"].holds < 2:
            gevent.sleep(0)
        place.act(moderation.ServerBan("alice"))
    gevent.joinall(removing)
    assert [each.value for each in removing] == ["sent_out"] * 2
    assert [said.body for said in bob.rooms["den"].recent] == ["stays"]


def _refused(place: Place, session: Session, command: Command) -> str:
    """Return the code with which a command is refused."""
    with pytest.raises(Refusal) as refused:
        place.do(session, command)
    return refused.value.code


# A room that nobody is in is moderated by the operator like any other, and then forgotten.
def test_a_deserted_room(place: Place) -> None:
    alice = place.register("alice")
    place.register("bob")
    place.do(alice, rooms.Join("den"), rooms.Leave())
    for asked in (
        moderation.Ban("bob", room="den"),
        moderation.Mute("bob", room="den"),
        moderation.Promote("bob", room="den"),
        moderation.Topic("Tea", room="den"),
        moderation.Topic(room="den"),
        moderation.Bans(room="den"),
        rooms.Who(room="den"),
    ):
        place.do(place.operator, asked)
        assert place.service.rooms._live == {}, asked
    place.do(alice, rooms.Join("den"))
    den = alice.rooms["den"]
    assert (den.topic, den.moderator_ids) == ("Tea", {2})
    for kind in ("ban", "mute"):
        assert den.sanctions[kind] == {2: moderation.Sanction("bob", "(operator)", "", None)}
    place.do(alice, rooms.Leave())
    for undone in (moderation.Unban, moderation.Unmute, moderation.Demote):
        place.do(place.operator, undone("bob", room="den"))
        assert place.service.rooms._live == {}, undone
    place.do(alice, rooms.Join("den"))
    den = alice.rooms["den"]
    assert (den.sanctions, den.moderator_ids) == ({"ban": {}, "mute": {}}, set())
