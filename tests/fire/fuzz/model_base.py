"""What all parts of the model stand on: who and what there is, and how it is found and told."""

from __future__ import annotations

from collections.abc import Callable

from app.protocol import rooms
from app.protocol.event import Done, Event, RoomEvent
from app.values.names import Name, parse_password
from tests.fire.fuzz.state import (
    Account,
    Device,
    File,
    Letter,
    Message,
    Refused,
    Room,
    Seat,
    ServerSanctions,
    Ticket,
    in_force,
    name_of,
)


class Base:
    """The state of a chat, and the small steps that its rules are made of."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.accounts: dict[str, Account] = {}
        self.rooms: dict[str, Room] = {}
        self.seats: list[Seat] = []
        self.operator = Seat(0)
        self.numbers = 0
        self.message_ids = 0
        self.token_ids = 0
        self.file_ids = 0
        self.files: dict[int, File] = {}
        self.tokens: dict[str, Account] = {}  # by what logs in
        self.token_numbers: dict[str, int] = {}
        self.tickets: dict[str, Ticket] = {}  # by the path of its address
        self.txns: dict[tuple[int, str], int] = {}
        self.server_bans, self.server_mutes = ServerSanctions(), ServerSanctions()
        self.has_plan = self.is_due = False  # of a shutdown
        self.letters: list[Letter] = []
        self.letter_ids = 0
        self.device_changes: list[str] = []  # whose lists
        self.out: list[tuple[Seat, Event]] = []

    # Telling.

    def tell(self, seat: Seat, event: Event) -> None:
        """Show something to one seat."""
        if not seat.is_closed:
            self.out.append((seat, event))

    def show(self, room: Room, event: RoomEvent, by: Account | None = None) -> None:
        """Show something to a room, but to those who ignore whom it is `by`."""
        for seat in room.seats:
            if by is None or by.shown not in seat.me.ignored:
                self.tell(seat, event)

    def done(self, seat: Seat) -> None:
        """Say that it is done."""
        self.tell(seat, Done())

    # Coming and going.

    def connect(self, wire: str, address: str) -> Seat | None:
        """Return a new seat; None when the address is banned."""
        if self.server_bans.around(address, self.now):
            return None
        self.numbers += 1
        seat = Seat(self.numbers, wire, address, self.now)
        self.seats.append(seat)
        return seat

    def restart(self) -> None:
        """Forget what a server that was stopped forgets; all seats were closed before."""
        self.numbers = 0
        self.tickets.clear()
        self.has_plan = self.is_due = False

    def _close(self, seat: Seat) -> None:
        """Take a seat away that ended."""
        if seat not in self.seats:
            return
        self.seats.remove(seat)
        seat.is_closed = True
        for room in list(seat.rooms):
            self.drop(seat, room)
            if seat.me not in room.people:
                self.show(room, rooms.Disconnected(room.shown, seat.name))
        if seat.account:
            seat.account.seats.remove(seat)
            if not seat.account.seats:
                seat.account.away = None

    def end(self, seats: list[Seat], last_words: Event) -> list[Seat]:
        """Tell seats why they end; `_close` them when all was said that comes before."""
        for seat in seats:
            self.tell(seat, last_words)
            seat.is_closed = True
        return seats

    def drop(self, seat: Seat, room: Room) -> None:
        """Take a seat out of a room."""
        seat.rooms.remove(room)
        room.seats.remove(seat)

    # Accounts.

    def find_or_none(self, text: str, *, ever: bool = False) -> Account | None:
        """Return the account of a name, in any spelling; with `ever`, though it was deleted."""
        try:
            account = self.accounts.get(name_of(text).key)
        except Refused:
            return None
        return None if account is not None and account.is_deleted and not ever else account

    def find(self, text: str, *, ever: bool = False) -> Account:
        """Return the account of a name. Raises Refused."""
        account = self.find_or_none(text, ever=ever)
        if account is None:
            raise Refused("no_such_user")
        return account

    def check_password(self, text: str) -> None:
        """Raise Refused when it can't be one."""
        try:
            parse_password(text)
        except ValueError:
            raise Refused("bad_password") from None

    def make_account(self, name: Name, password: str, *, is_admin: bool = False) -> Account:
        """Return a new account. Raises Refused when the name is taken, or one like it."""
        self._check_is_free(name, [each.name for each in self.accounts.values()])
        account = Account(len(self.accounts) + 1, name, password, self.now, is_admin)
        self.accounts[name.key] = account
        return account

    @staticmethod
    def _check_is_free(name: Name, taken: list[Name]) -> None:
        if any(name.key == other.key or name.skeleton == other.skeleton for other in taken):
            raise Refused("name_taken")

    def set_password(self, account: Account, password: str) -> None:
        """Let an account have another password, and nothing that the old one was good for."""
        account.password = password
        self.end_rights(account)

    def end_rights(self, account: Account) -> None:
        """Take all from an account that it was given to be used later."""
        account.tokens.clear()
        self.forget_tokens(account)
        self.revoke(lambda ticket: ticket.owner is account)

    def revoke(self, is_meant: Callable[[Ticket], bool]) -> None:
        """Take tickets away from whom they were given to."""
        self.tickets = {path: each for path, each in self.tickets.items() if not is_meant(each)}

    def forget_tokens(self, account: Account) -> None:
        """Let those tokens log nobody in that are not an account's any more."""
        numbers = {each.number for each in account.tokens}
        for token, owner in list(self.tokens.items()):
            if owner is account and self.token_numbers[token] not in numbers:
                del self.tokens[token]

    def token_of(self, account: Account, number: int) -> str:
        """Return the place of a token that is not known until it was shown."""
        return f"{account.shown} {number}"

    # Rooms.

    def room_of(self, seat: Seat, name: str) -> Room:
        """Return the room that a seat means. Raises Refused."""
        if seat.is_operator:
            if not name:
                raise Refused("which_room")
            return self.any_room(name)
        if name:
            key = name_of(name).key
            found = [room for room in seat.rooms if room.name.key == key]
        else:
            found = seat.rooms
        if len(found) > 1:
            raise Refused("which_room")
        if not found:
            raise Refused("no_room")
        return found[0]

    def any_room(self, name: str) -> Room:
        """Return a room, whoever is there. Raises Refused."""
        room = self.rooms.get(name_of(name).key)
        if room is None:
            raise Refused("no_such_room")
        return room

    def make_room(self, name: Name, owner: Account) -> Room:
        """Return a new room. Raises Refused when the name is taken, or one like it."""
        self._check_is_free(name, [each.name for each in self.rooms.values()])
        room = self.rooms[name.key] = Room(name, owner, self.now)
        return room

    def check_may_enter(self, room: Room, account: Account) -> None:
        """Raise Refused when an account is banned there."""
        if in_force(room.bans, account, self.now):
            raise Refused("banned")

    def check_may_speak(self, seat: Seat, room: Room | None = None) -> None:
        """Raise Refused when a seat is muted, on the server or in the room."""
        if seat.is_operator:
            return
        if self.server_mutes.longest(seat.account, seat.address, self.now):
            raise Refused("muted")
        if room is not None and in_force(room.mutes, seat.me, self.now):
            raise Refused("muted")

    @staticmethod
    def device_of(seat: Seat) -> Device:
        """Return the device that a seat speaks for. Raises Refused."""
        if seat.device is None:
            raise Refused("no_device")
        return seat.device

    def admit(self, room: Room, account: Account) -> None:
        """Let an account belong to a room that it enters, if that is encrypted."""
        if room.roster is not None and account not in room.roster.members:
            room.roster.members.add(account)
            self._show_revision(room, account)

    def end_membership(self, room: Room, account: Account) -> None:
        """Let an account belong to a room no more, if it does."""
        if room.roster is not None and account in room.roster.members:
            room.roster.members.discard(account)
            self._show_revision(room, account)

    def _show_revision(self, room: Room, account: Account) -> None:
        assert room.roster is not None
        room.roster.rev += 1
        self.show(room, rooms.RosterChanged(room.shown, account.shown, room.roster.rev))

    def store(self, message: Message, txn: str) -> bool:
        """Give a message its id; say whether it is new, or was said before."""
        key = (message.author.id, txn)
        if txn and key in self.txns:
            message.id = self.txns[key]
            return False
        self.message_ids += 1
        message.id = self.message_ids
        if txn:
            self.txns[key] = message.id
        return True
