"""Rights that were taken away while what they were for waited to be written.

What takes them away is written first, and in force a moment later; what is asked for in between is
refused, by what is written, and nothing of it is done.
"""

from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

import gevent
import pytest
from sqlalchemy import Connection

from app.engine.presence import Session
from app.errors import Refusal
from app.protocol import files, moderation, removal, server, talk
from app.protocol import rooms as protocol
from app.protocol.accounts import UserAdmin, UserDisable, UserEnable
from app.protocol.command import Command
from app.queries import accounts, audit, deletion, rooms, sanctions
from app.queries.sanctions import NewServerSanction
from app.values.times import now
from tests.database.test_writes import held
from tests.fire.fuzz import asking
from tests.fire.fuzz.devices import Kit
from tests.kit.house import House

ACTS: tuple[Command, ...] = (
    *(moderation.Kick("carol"), moderation.Ban("carol"), moderation.Unban("dave")),
    *(moderation.Mute("carol"), moderation.Unmute("erin")),
    *(moderation.Promote("carol"), moderation.Demote("fred"), moderation.Topic(text="soup")),
    *(
        moderation.ServerKick("carol"),
        moderation.ServerBan("carol"),
        moderation.ServerUnban("dave"),
    ),
    *(moderation.ServerMute("carol"), moderation.ServerUnmute("erin")),
    *(UserDisable("carol"), UserEnable("gina"), files.Unshare(1), server.Announce("soup")),
    *(protocol.Encrypt(), protocol.RoomDelete("den"), protocol.RoomRename("den", "cave")),
    *(protocol.RoomOwner("den", "carol"), removal.Retention("den", "5")),
    removal.Purge(user="carol", seconds=60),
)
WITH_WORDS: tuple[Command, ...] = (
    *(moderation.Kick("carol", "spam"), moderation.ServerKick("carol", "spam")),
    *(moderation.Topic(text="soup"), server.Announce("soup")),
    *(protocol.RoomDelete("den", "spam"), protocol.RoomRename("den", "cave")),
)
OF_MODERATORS = (moderation.Kick("carol"), moderation.Topic(text="soup"), files.Unshare(1))
OF_OWNERS = (moderation.Promote("carol"), protocol.Encrypt())
Losing = Callable[[Connection, int], None]


class _People(NamedTuple):
    house: House
    operator: Session
    admin: Session
    owner: Session
    moderator: Session

    def losing(self, session: Session, lose: Losing) -> None:
        """Write that a user loses a right, which is not in force yet."""
        self.house.database.write(lambda each: lose(each, session.speaker.id))

    def told(self) -> tuple[object, ...]:
        """Return what the audit has, and how much everybody was shown."""
        records = self.house.database.read(lambda each: audit.list_newest(each, 100))
        return records, [len(each.client.shown) for each in self[2:]]


@pytest.fixture
def people(house: House) -> _People:
    """An admin, an owner, a moderator and others in a den, and who is shut out of it."""
    names = ("bob", "fred", "carol", "alice")
    owner, moderator, _, admin = (house.register(name, "den") for name in names)
    for name in ("dave", "erin", "gina"):
        house.register(name)
    house.do(owner, moderation.Ban("dave"), moderation.Mute("erin"), moderation.Promote("fred"))
    house.do(owner, files.Upload("a.txt", data=b"soup"))
    house.act(moderation.ServerBan("dave"), moderation.ServerMute("erin"))
    house.act(UserAdmin("alice"), UserDisable("gina"))
    for each in (owner, moderator, admin):
        house.service.journal.settle(each)
    return _People(house, house.operator, admin, owner, moderator)


def _sanction(kind: sanctions.SanctionKind) -> Losing:
    def lose(connection: Connection, user_id: int) -> None:
        sanctions.put(connection, NewServerSanction(kind, user_id, None, None, "", now(), None))

    return lose


def _change(**values: object) -> Losing:
    return lambda connection, user_id: accounts.change(connection, user_id, **values)


def _check_refused(people: _People, session: Session, code: str, *acts: Command) -> None:
    """Check that each act is refused with that code, and that nothing of it is done."""
    before = people.told()
    for act in acts:
        with pytest.raises(Refusal) as refusal:
            people.house.do(session, act)
        assert (act, refusal.value.code) == (act, code)
        assert people.told() == before


# An admin who is none any more, or whose account may do nothing any more, does nothing more.
@pytest.mark.parametrize(
    ("lose", "code"),
    [
        (_change(is_admin=False), "not_allowed"),
        (_change(is_disabled=True), "sent_out"),
        (_sanction("ban"), "sent_out"),
    ],
    ids=["no admin", "disabled", "banned"],
)
def test_an_admin_no_more(people: _People, lose: Losing, code: str) -> None:
    people.losing(people.admin, lose)
    _check_refused(people, people.admin, code, *ACTS)


# Who is muted by then shows nobody a word.
def test_a_word_no_more(people: _People) -> None:
    people.losing(people.admin, _sanction("mute"))
    _check_refused(people, people.admin, "muted", *WITH_WORDS)


# So it is with moderators and owners; and nobody does anything to who is above them by then.
def test_a_role_no_more(people: _People) -> None:
    people.losing(people.moderator, lambda each, user_id: rooms.remove_moderator(each, 1, user_id))
    _check_refused(people, people.moderator, "not_allowed", *OF_MODERATORS)
    people.losing(people.admin, lambda each, user_id: rooms.set_owner(each, 1, user_id))
    _check_refused(people, people.owner, "not_allowed", *OF_OWNERS)


def test_about_one_who_is_an_admin_by_then(people: _People) -> None:
    people.losing(people.moderator, _change(is_admin=True))
    _check_refused(people, people.owner, "not_allowed", moderation.Kick("fred"))


# Nor does who is gone by then belong to an encrypted room, where nobody could send them out.
def test_no_member_any_more(people: _People) -> None:
    people.house.do(people.owner, protocol.Encrypt())
    newcomer = people.house.register("hal")
    people.losing(newcomer, _change(is_disabled=True))
    _check_refused(people, newcomer, "sent_out", protocol.Join("den"))


# Nor does a room or a device become theirs, or a role.
def test_nothing_is_theirs_any_more(people: _People) -> None:
    newcomer = people.house.register("bee")

    def delete(connection: Connection, user_id: int) -> None:
        deletion.delete_account(connection, user_id, now())

    find = people.house.service.accounts.find
    known = {name: find(name) for name in ("bee", "carol")}
    people.losing(newcomer, delete)
    keys = (asking.device_put(Kit("bee", 1)), asking.manifest_put("bee", 1, [1]))
    _check_refused(people, newcomer, "sent_out", protocol.Join("cave"), *keys)
    with patch.object(people.house.service.accounts, "find", known.__getitem__):  # found before
        given = (moderation.Promote("bee"), moderation.Ban("bee"), moderation.Mute("bee"))
        _check_refused(people, people.owner, "no_such_user", *given)
        given = (protocol.RoomOwner("den", "bee"), protocol.RoomCreate("cave", "bee"))
        _check_refused(people, people.operator, "no_such_user", *given)


# A purge stops where its admin is none any more.
def test_a_purge_by_an_admin_no_more(people: _People, monkeypatch) -> None:
    people.house.do(people.owner, talk.Say(body="soup"))
    purging = people.house.service._purging
    finish = purging._finish

    def finish_late(*arguments: object) -> None:
        people.losing(people.admin, _change(is_admin=False))
        finish(*arguments)

    monkeypatch.setattr(purging, "_finish", finish_late)
    with pytest.raises(Refusal, match="only admins"):
        people.house.do(people.admin, removal.Purge(user="bob", seconds=60))
    people.house.do(people.owner, talk.History())
    assert [each.body for each in people.owner.client.shown[-1].messages] == ["soup"]


# When both wait for the writer at once, what is behind sees what is before.
def test_both_wait(people: _People) -> None:
    house = people.house
    demote = (people.operator, UserAdmin("alice", is_admin=False))
    kick = (people.admin, moderation.Kick("carol"))
    asked: list[gevent.Greenlet] = []
    with held(house.database):
        for each in (demote, kick):
            asked.append(gevent.spawn(house.do, *each))
            while not each[0].unreleased:
                gevent.sleep(0.001)
    asked[0].get()
    with pytest.raises(Refusal) as refusal:
        asked[1].get()
    assert refusal.value.code == "not_allowed"
    assert "carol" in {user.name for user in people.owner.rooms["den"].present}
