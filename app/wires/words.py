"""Facts in words: one sentence an event, for wires that say it in English.

People at the text wire read these sentences, and programs have them as `sentence`. A wire with
words of its own needs none of this: the fields of the events have all that is said here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.errors import Help
from app.protocol import accounts, files, moderation, removal, rooms, server, talk
from app.protocol.event import Event
from app.values.sizes import format_count
from app.values.times import how_long, span_in_words, until_when


def sentence(event: Event) -> str:
    """Return the sentence of an event with words here. Raises KeyError for others."""
    return SENTENCES[type(event)](event)


# The text of each remedy, which stands behind the sentence of a refusal.
REMEDIES: Mapping[Help, str] = {
    "demote": "; /demote one first",
    "device": ", with keys.device.put",
    "encrypt": "; /encrypt it first",
    "get": "; /get {} fetches it",
    "join": ": /join ROOM",
    "login": ": /login NAME, or /register NAME",
    "tls": ": openssl s_client -quiet -connect HOST:PORT, to this same port",
    "unignore": "; /unignore one first",
    "unshare": "; /unshare one first",
}


def because(reason: str) -> str:
    """Return a reason as it stands at the end of a sentence."""
    return f" ({reason})" if reason else ""


def kept(days: int) -> str:
    """Return a retention in words; 0 days is for ever."""
    return f"for {format_count(days, 'day')}" if days else "for ever"


def _refused(event: server.Refused) -> str:
    if event.remedy is None:
        return event.sentence
    return event.sentence + REMEDIES[event.remedy.help].format(event.remedy.number)


def _account_made(event: accounts.AccountMade) -> str:
    return f"{event.user} can log in now{', as an admin' if event.is_admin else ''}."


def _admin_set(event: accounts.AdminSet) -> str:
    return f"{event.user} is {'an admin now' if event.is_admin else 'no admin any more'}."


def _account_deleted(event: accounts.AccountDeleted) -> str:
    return f"{event.user} is deleted.{' Goodbye.' if event.is_own else ''}"


def _server_kicked(event: moderation.ServerKicked) -> str:
    return f"{event.target} was kicked from this server; {_ended(event.sessions)}."


def _server_banned(event: moderation.ServerBanned) -> str:
    terms = f"{how_long(event.seconds)}; {_ended(event.sessions)}"
    return f"{event.target} is banned from this server {terms}."


def _ended(sessions: int) -> str:
    return f"{format_count(sessions, 'session')} ended"


def _room_made(event: rooms.RoomMade) -> str:
    what = "an encrypted room" if event.e2ee else "a room"
    return f"{event.room} is {what} of {event.owner} now."


def _removed(event: removal.Removed) -> str:
    messages, files = format_count(event.messages, "message"), format_count(event.files, "file")
    return f"Removed {messages} and {files}."


def _older_mail_kept(event: talk.OlderMailKept) -> str:
    are = "is" if event.messages == 1 else "are"
    return f"{format_count(event.messages, 'older private message')} {are} kept, and not shown."


def _in(seconds: int) -> str:
    return f"in {span_in_words(seconds)}" if seconds else "now"


def _shutdown_neared(event: server.ShutdownNeared) -> str:
    why = f": {event.reason}" if event.reason else "."
    return f"The server shuts down {_in(event.seconds)}{why}"


SENTENCES: Mapping[type[Event], Callable[[Any], str]] = {
    accounts.PasswordChanged: lambda event: "Your password is changed.",
    accounts.AccountMade: _account_made,
    accounts.PasswordSet: lambda event: f"{event.user} has a new password.",
    accounts.AdminSet: _admin_set,
    accounts.AccountDisabled: lambda event: f"{event.user} can't log in any more.",
    accounts.AccountEnabled: lambda event: f"{event.user} can log in again.",
    accounts.AccountDeleted: _account_deleted,
    accounts.EndedByPassword: lambda event: (
        "your password was changed by the operator; log in again"
        if event.by_operator
        else "your password was changed; log in again"
    ),
    accounts.EndedBySession: lambda event: "another session of yours ended this one",
    accounts.EndedByDisabling: lambda event: "your account was disabled",
    accounts.EndedByDeletion: lambda event: "your account was deleted",
    files.Unshared: lambda event: f"{event.name} is shared no more.",
    moderation.ServerKicked: _server_kicked,
    moderation.ServerBanned: _server_banned,
    moderation.ServerUnbanned: lambda event: f"{event.target} may come to this server again.",
    moderation.ServerMuted: lambda event: (
        f"{event.target} is muted on this server {how_long(event.seconds)}."
    ),
    moderation.ServerUnmuted: lambda event: f"{event.target} may speak on this server again.",
    moderation.MutedEverywhere: lambda event: (
        f"You are muted on this server{until_when(event.until, event.reason)}."
    ),
    moderation.UnmutedEverywhere: lambda event: "You may speak on this server again.",
    moderation.EndedByKick: lambda event: (
        f"you were kicked from this server{because(event.reason)}"
    ),
    moderation.EndedByBan: lambda event: (
        f"your address is banned from this server{until_when(event.until, event.reason)}"
        if event.is_address
        else f"you are banned from this server{until_when(event.until, event.reason)}"
    ),
    removal.Removed: _removed,
    removal.RetentionSet: lambda event: f"Messages of {event.room} are kept {kept(event.days)}.",
    removal.Vacuumed: lambda event: f"Gave {format_count(event.pages, 'page')} back to the disk.",
    rooms.RoomMade: _room_made,
    rooms.RoomGiven: lambda event: f"{event.room} is a room of {event.owner} now.",
    rooms.RoomRenamed: lambda event: f"{event.room} is called {event.name} now.",
    rooms.RoomDeleted: lambda event: f"{event.room} is gone, and its name is free.",
    server.Greeted: lambda event: "Pong.",
    server.Ponged: lambda event: "Pong.",
    server.ToldEverybody: lambda event: "It was said to everybody.",
    server.Announced: lambda event: f"Announcement: {event.text}",
    server.ShutdownPlanned: lambda event: f"The server shuts down {_in(event.seconds)}.",
    server.ShutdownCancelled: lambda event: "The server does not shut down.",
    server.ShutdownNeared: _shutdown_neared,
    server.ShutdownCalledOff: lambda event: "The server does not shut down after all.",
    server.Stopped: lambda event: (
        f"The server is shutting down.{' Goodbye.' if event.says_goodbye else ''}"
    ),
    server.LineOmitted: lambda event: "There is a line here that can't be shown; it was logged.",
    server.Refused: _refused,
    server.BackedUp: lambda event: f"Gave a copy of the database to {event.path}.",
    talk.WentAway: lambda event: "You are away now; type /away again when you are back.",
    talk.CameBack: lambda event: "Welcome back.",
    talk.IgnoreBegun: lambda event: f"You ignore {event.user} now; /unignore {event.user} ends it.",
    talk.IgnoreEnded: lambda event: f"You hear {event.user} again.",
    talk.OlderMailKept: _older_mail_kept,
}
