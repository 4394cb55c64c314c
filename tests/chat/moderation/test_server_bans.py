"""Bans from the whole server, and mutes on it: by whom, of whom, and for how long."""

import gevent
import pytest

from app.engine.server_bans import InForce
from app.errors import BadLine, Forbidden, LoginRefused, NotPossible, NotStored, Unavailable
from app.protocol import accounts, moderation, removal, rooms, talk
from app.protocol.command import Command
from app.protocol.moderation import ServerBan, ServerKick, ServerMute
from app.queries.sanctions import StoredServerSanction
from app.values.networks import parse_network
from tests.kit.fakes import FakeClient
from tests.kit.house import HOUR, MINUTE, START, House


def _is_banned(house: House, address: str) -> bool:
    return house.service.sanctions.ban_of(address) is not None


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
def test_who_is_in_a_network(house: House) -> None:
    for network, inside, outside in (
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::1"),
        ("2001:db8:7::/48", "2001:db8:7:ffff::1", "2001:db8:8::1"),
        ("203.0.113.7", "::ffff:203.0.113.7", "203.0.113.8"),
        ("::ffff:203.0.113.9", "203.0.113.9", "::cb00:7109"),
        ("198.51.100.0/23", "198.51.101.255", "198.51.102.0"),
        ("0.0.0.0/8", "0.0.113.7", "::7"),
    ):
        there, elsewhere = map(house.service.connect, map(FakeClient, (inside, outside)))
        assert house.act(ServerBan(network)).sessions == 1
        assert _is_banned(house, inside)
        assert not _is_banned(house, outside)
        assert there.client.shown[-1].code == "banned"
        assert not elsewhere.client.is_closing
        house.leave(elsewhere)


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
def test_bans_end(house: House) -> None:
    bob = house.register("bob")
    house.act(ServerBan("bob", 3600, "spam"), ServerBan("203.0.113.7", 3600))
    told = r"banned from this server until 2026-11-22 15:02 UTC \(spam\)"
    with pytest.raises(LoginRefused, match=told):
        house.log_in("bob")
    house.now += HOUR - 1
    assert _is_banned(house, "203.0.113.7")
    house.now += 1
    assert not _is_banned(house, "203.0.113.7")
    assert house.log_in("bob").user is not bob.user
    house.act(ServerBan("bob"))
    house.now += 1000 * HOUR
    with pytest.raises(LoginRefused):
        house.log_in("bob")
    assert house.read("SELECT count(*) FROM server_sanctions") == [1]  # what was over is forgotten


# Of all that one falls under, that which lasts longest holds; and what is ended leaves the others.
def test_several_mutes(house: House) -> None:
    bob = house.register("bob", "den", address="203.0.113.7")
    for target, seconds in (("203.0.113.0/24", 7200), ("bob", 3600), ("203.0.113.7", 60)):
        house.act(ServerMute(target, seconds))
        with pytest.raises(Forbidden, match="until 2026-11-22 16:02 UTC"):
            house.do(bob, talk.Say("hello"))
    house.act(moderation.ServerUnmute("203.0.113.0/24"))
    with pytest.raises(Forbidden, match="until 2026-11-22 15:02 UTC"):
        house.do(bob, talk.Say("hello"))
    house.now += HOUR
    house.do(bob, talk.Emote("waves"))
    assert list(bob.rooms["den"].recent)[-1].body == "waves"


# Who comes from a muted network is mute as soon as they log in, and who logs in elsewhere is not.
def test_a_muted_network(house: House) -> None:
    house.act(ServerMute("2001:db8::1"))
    there = house.register("bob", address="2001:db8::2")
    elsewhere = house.log_in("bob", "203.0.113.7")
    house.do(elsewhere, talk.Tell("bob", "hello"))
    with pytest.raises(Forbidden):
        house.do(there, talk.Tell("bob", "hello"))


# Admins act upon people: not upon themselves or where they are, nor upon admins or where one is.
def test_ranks(house: House) -> None:
    house.register("alice"), house.register("carol")
    house.act(accounts.UserAdmin("alice"), accounts.UserAdmin("carol"))
    house.register("bob", address="203.0.113.9")
    alice = house.log_in("alice", "2001:db8::1")
    house.log_in("carol", "203.0.113.7")
    for kind in (ServerKick, ServerBan, ServerMute):
        for target in ("ALICE", "2001:db8::/32", "2001:db8::2"):
            with pytest.raises(NotPossible, match="to yourself"):
                house.do(alice, kind(target))
        for target in ("carol", "@carol", "203.0.113.7", "203.0.113.0/24"):
            with pytest.raises(Forbidden, match="carol is an admin"):
                house.do(alice, kind(target))
    house.do(alice, ServerBan("203.0.113.9"))
    assert house.act(ServerBan("203.0.113.0/24")).sessions == 1


# A user whose name could be an address is named with an @ before it.
def test_a_name_like_an_address(house: House) -> None:
    house.register("203.0.113.7", address="198.51.100.1")
    assert house.act(ServerBan("203.0.113.7")).sessions == 0
    assert house.act(ServerBan("@203.0.113.7")).sessions == 1
    with pytest.raises(LoginRefused):
        house.log_in("203.0.113.7")


# Bans and mutes are there again after a restart.
def test_after_a_restart(house: House) -> None:
    house.register("bob"), house.register("carol")
    house.act(
        ServerBan("bob", 3600, "spam"),
        ServerBan("2001:db8::1"),
        ServerMute("carol"),
        ServerBan("203.0.113.7", 60),
    )
    house.now += MINUTE
    listed = house.act(moderation.ServerBans())
    house.close()
    house.open()
    assert house.act(moderation.ServerBans()) == listed
    assert len(listed.bans) == 2
    assert _is_banned(house, "2001:db8::2")
    with pytest.raises(LoginRefused, match="spam"):
        house.log_in("bob")


# There are so many and no more.
def test_too_many(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.chat.moderation.sanctions.SERVER_SANCTIONS_MAX", 2)
    house.act(ServerBan("203.0.113.7", 60), ServerBan("203.0.113.8"))
    with pytest.raises(Unavailable, match="there are 2 of these"):
        house.act(ServerBan("203.0.113.9"))
    house.now += MINUTE
    house.act(ServerBan("203.0.113.9"))


# Does the write fail, nothing has changed, in memory either.
def test_a_ban_that_is_not_stored(house: House, monkeypatch) -> None:
    bob = house.register("bob", address="203.0.113.7")

    def fail(*_: object) -> None:
        raise NotStored("not stored: no")

    for kind in (ServerBan, ServerMute, ServerKick):
        for target in ("bob", "203.0.113.7"):
            monkeypatch.setattr(house.database, "write_first", fail)
            with pytest.raises(NotStored):
                house.act(kind(target))
            monkeypatch.undo()
    house.do(bob, talk.Tell("bob", "still here"))
    assert not _is_banned(house, "203.0.113.7")
    house.log_in("bob")


# The network's own sessions before login go too, and what they ask for just now does not happen.
def test_registering_while_the_network_is_banned(house: House, meanwhile) -> None:
    client = FakeClient("203.0.113.7")
    ban = ServerBan("203.0.113.7")
    meanwhile(house.service.accounts._hasher, "hash", lambda: house.act(ban), first=True)
    with pytest.raises(NotPossible, match="you were sent away meanwhile"):
        house.come(accounts.Register("bob", "secret"), client)
    assert client.shown[-1].code == "banned"
    assert house.service.accounts.user_here(1) is None


# What the banned were just about to do, while they waited for others, does not happen any more.
@pytest.mark.parametrize("late", [talk.Say("late"), talk.Emote("late"), talk.Tell("bob", "late")])
def test_waiting_to_speak(house: House, late: Command, monkeypatch) -> None:
    alice, bob = house.register("alice", "den"), house.register("bob", "den")
    journal = house.service.journal
    monkeypatch.setattr(type(journal), "_is_full", True)
    journal._has_room.clear()
    speaking = gevent.spawn(house.refused, bob, late)
    gevent.idle()
    house.act(ServerBan("bob"))
    journal._has_room.set()
    assert speaking.get()
    journal.finish()
    assert not list(alice.rooms["den"].recent)
    assert alice.client.sent[-1] == b"Disconnected bob\n"


# So it is with a room that they were just entering, and one that they were just moderating.
def test_waiting_to_enter(house: House, meanwhile) -> None:
    alice, bob = house.register("alice", "den"), house.register("bob")
    ban = ServerBan("bob")
    meanwhile(house.service.rooms, "_replay_since", lambda: house.act(ban), first=True)
    with pytest.raises(NotPossible, match="you were sent away meanwhile"):
        house.do(bob, rooms.Join("den"))
    assert alice.rooms["den"].present.keys() == {alice.user}
    assert not any(b"Joined" in sent for sent in alice.client.sent)


def test_waiting_to_decide(house: House) -> None:
    bob, alice = house.register("bob", "den"), house.register("alice", "den")
    den = bob.rooms["den"]
    with house.service.rooms.deciding(den):
        kicking = gevent.spawn(house.refused, bob, moderation.Kick("alice"))
        house.hold_until(den, 2)
        house.act(ServerBan("bob"))
    assert kicking.get() == "sent_out"
    house.service.journal.finish()
    assert den.present.keys() == {alice.user}


# An admin who is none any more when it is their turn bans nobody.
def test_waiting_without_rank(house: House) -> None:
    alice, bob = house.register("alice"), house.register("bob", address="203.0.113.7")
    alice.user.is_admin = True
    with house.service.sanctions._deciding:
        banning = gevent.spawn(house.refused, alice, ServerBan("bob"))
        gevent.idle()
        alice.user.is_admin = False
    assert banning.get() == "not_allowed"
    assert not bob.client.is_closing


# Nor do they purge or delete anything: what they asked for, and had to wait for, is off.
def test_waiting_to_remove(house: House) -> None:
    alice, bob = house.register("alice"), house.register("bob")
    house.do(bob, rooms.Join("den"), talk.Say("stays"))
    alice.user.is_admin = True
    with house.service._purging._purging, house.service.rooms.deciding(bob.rooms["den"]):
        acts = (removal.Purge(room="den"), rooms.RoomDelete("den"))
        removing = [gevent.spawn(house.refused, alice, each) for each in acts]
        house.hold_until(bob.rooms["den"], 2)
        house.act(ServerBan("alice"))
    gevent.joinall(removing)
    assert [each.value for each in removing] == ["sent_out"] * 2
    assert [said.body for said in bob.rooms["den"].recent] == ["stays"]


# A room that nobody is in is moderated by the operator like any other, and then forgotten.
def test_a_deserted_room(house: House) -> None:
    alice = house.register("alice")
    house.register("bob")
    house.do(alice, rooms.Join("den"), rooms.Leave())
    for asked in (
        moderation.Ban("bob", room="den"),
        moderation.Mute("bob", room="den"),
        moderation.Promote("bob", room="den"),
        moderation.Topic("Tea", room="den"),
        moderation.Topic(room="den"),
        moderation.Bans(room="den"),
        rooms.Who(room="den"),
    ):
        house.act(asked)
        assert not house.service.rooms.live_rooms, asked
    house.do(alice, rooms.Join("den"))
    den = alice.rooms["den"]
    assert (den.topic, den.moderator_ids) == ("Tea", {2})
    for kind in ("ban", "mute"):
        assert den.sanctions[kind] == {2: moderation.Sanction("bob", "(operator)", "", None)}
    house.do(alice, rooms.Leave())
    for undone in (moderation.Unban, moderation.Unmute, moderation.Demote):
        house.act(undone("bob", room="den"))
        assert not house.service.rooms.live_rooms, undone
    house.do(alice, rooms.Join("den"))
    den = alice.rooms["den"]
    assert (den.sanctions, den.moderator_ids) == ({"ban": {}, "mute": {}}, set())
