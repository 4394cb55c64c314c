"""Talking in a room, and reading its history. The hot path of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent

from app.bounds import LAG_SECONDS, REPLAY_BYTES_MAX
from app.engine import apply
from app.engine.entries import wait_for_earlier
from app.engine.journal import SaidEntry
from app.engine.presence import not_encrypted
from app.engine.recent import first_that_fit, newest_that_fit
from app.errors import BadLine, NotPossible
from app.protocol import talk
from app.queries import messages as queries
from app.queries.messages import NewMessage
from app.values.names import harmless

if TYPE_CHECKING:
    from app.engine.delivery import Delivery
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Room, Session


class _SaidInRoom(SaidEntry):
    """A message to a room; an encrypted one is for the members of a revision, `if_rev`."""

    __slots__ = ("if_rev", "room")

    said: talk.Message

    def __init__(
        self,
        session: Session,
        room: Room,
        said: talk.Message,
        message: NewMessage,
        if_rev: int | None = None,
    ) -> None:
        super().__init__(session, message, said)
        self.room = room
        self.if_rev = if_rev

    def check_again(self) -> None:
        """See Entry."""
        session, room, said = self.sender, self.room, self.said
        session.check_was_not_sent_away()
        session.check_is_in(room)
        session.check_is_not_muted(said.at, room)
        if self.if_rev is None:
            room.check_takes_plaintext()
        elif room.roster is None or room.roster.rev != self.if_rev:
            raise _roster_changed(room)
        said.room = room.name

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        if self.is_new:
            apply.say(self.room, self.said)
            delivery.show(self.room, self.said)
        if self.tag:
            delivery.answer(self.sender, talk.Stored(self.said.id, self.tag))


def _roster_changed(room: Room) -> NotPossible:
    return NotPossible(
        f"who belongs to {room.name} has changed; encrypt it anew", code="roster_changed"
    )


def check_content(command: talk.Say | talk.Tell) -> None:
    """Check that a message has a text or a ciphertext. Raises BadLine if both or neither."""
    if bool(command.body) == (command.enc is not None):
        raise BadLine("say something: a body, or an enc", code="bad_arguments")


class Messages:
    """Messages of rooms: posting and reading them."""

    def __init__(self, kit: Kit) -> None:
        self._database, self._journal, self._clock = kit.database, kit.journal, kit.clock

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            talk.Say: self.say,
            talk.Emote: self.emote,
            talk.History: self.history,
        }

    def say(self, session: Session, command: talk.Say) -> None:
        """Post a message to the room. Switches when the journal is full. Raises Refusal."""
        if command.enc is not None or not command.body or command.if_rev is not None:
            self._post_encrypted(session, command)
        else:
            self._post(session, command, is_action=False)

    def emote(self, session: Session, command: talk.Emote) -> None:
        """Post an action to the room. Switches when the journal is full. Raises Refusal."""
        self._post(session, command, is_action=True)

    def _post(self, session: Session, command: talk.Say | talk.Emote, *, is_action: bool) -> None:
        room = self._wait_for_turn(session, command)
        user, now = session.speaker, self._clock()
        session.check_may_speak(now, room)
        room.check_takes_plaintext()
        body = harmless(command.body)
        said = talk.Said(room.name, user.name, body, now, is_action)
        message = NewMessage(room.id, None, user.id, is_action, body, now, command.txn or None)
        self._journal.append(_SaidInRoom(session, room, said, message))

    def _wait_for_turn(self, session: Session, command: talk.Say | talk.Emote) -> Room:
        """Wait until the journal has room; return the room that a command means.

        All that may switch is here: later checks must still hold when the message is appended.
        Raises Refusal.
        """
        self._journal.wait_for_room()
        room = session.room_or_refuse(command.room)
        if room.is_lagging:
            gevent.sleep(LAG_SECONDS)
            room = session.room_or_refuse(command.room)
        return room

    def _post_encrypted(self, session: Session, command: talk.Say) -> None:
        """Post a message encrypted for the room's current members.

        Switches. Raises Refusal.
        """
        check_content(command)
        room, device = self._wait_for_turn(session, command), session.device_or_refuse
        user, now, enc, roster = session.speaker, self._clock(), command.enc, room.roster
        session.check_may_speak(now, room)
        if enc is None or command.if_rev is None:
            raise BadLine("enc and if_rev go together in a room", code="bad_arguments")
        if roster is None:
            raise not_encrypted(room)
        if command.if_rev != roster.rev:
            self._answer_retry(session, room, command.txn)
            return
        body, txn, device_id = enc.dump(), command.txn or None, device.device_id
        said = talk.SaidEncrypted(room.name, user.name, device_id, enc, now)
        message = NewMessage(room.id, None, user.id, False, body, now, txn, device_id)
        self._journal.append(_SaidInRoom(session, room, said, message, command.if_rev))

    def _answer_retry(self, session: Session, room: Room, txn: str) -> None:
        """Answer a message for an older roster: it may be a retry.

        That one may still be on its way, so it is looked up after all entries before now. The
        look-up is in no transaction of the journal's: after a removal in a busy room, all its
        clients ask at once. Switches. Raises NotPossible when it is not stored.
        """
        wait_for_earlier(self._journal, session)
        user_id = session.speaker.id
        message_id = self._database.read(lambda each: queries.find_by_txn(each, user_id, txn))
        if message_id is None:
            raise _roster_changed(room)
        session.client.show(talk.Stored(message_id, session.tag))

    def history(self, session: Session, command: talk.History) -> None:
        """Show a page of the room's history. Switches. Raises Refusal when not in it.

        With `after` alone it is the first page after that message; else the last one before
        `before`, or the newest.
        """
        session.client.show_at_leisure(self._page(session, command))

    def _read(self, limits: queries.Page) -> Sequence[talk.Message]:
        """Read messages; again, if some were removed during the read. Switches."""
        while True:
            removals = self._journal.removals
            found = self._database.read(lambda connection: queries.page(connection, limits))
            if removals == self._journal.removals:
                return found

    def _page(self, session: Session, command: talk.History) -> talk.HistoryShown:
        """Return the page that `history` shows. Switches. Raises Refusal.

        Only this page is in memory while its reader takes it.
        """
        room = session.room_or_refuse(command.room)
        end_id = room.head_id + 1
        before_id = end_id if command.before is None else min(command.before, end_id)
        after_id, length = command.after or 0, command.count + 1
        goes_on = command.after is not None and command.before is None
        limits = queries.Page(room.id, after_id, before_id, length, goes_on, REPLAY_BYTES_MAX)
        found = self._read(limits)
        session.check_is_in(room)  # again: it may have been sent out during the read
        if goes_on:
            page = first_that_fit(found[: command.count])
        else:
            page = newest_that_fit(found[-command.count :])
        return talk.HistoryShown(
            room.name,
            [said for said in page if said.user not in session.ignored],
            has_more=len(page) < len(found),
            before_id=page[0].id if page else 1,
            now=self._clock(),
            last_id=page[-1].id if page else after_id,
        )
