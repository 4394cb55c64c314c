"""Every refusal: a stable code for programs, and a sentence that says what to do for people.

    GreenroomError
      Refusal                 a request that can't be fulfilled; told to its client alone
        BadLine               the line is not a command: too long, not UTF-8, wrong arguments
          BadNameError        because of a name that no user or room can have
        TooLarge              more bytes than may be kept
        NotPossible           the right command in the wrong place
        Forbidden             the right command by the wrong person
        LoginRefused          no, for now or for good
        Unavailable           not now: the server is full, busy, or can't write
      StartRefused            the server can't start, or a command line can't do its work

Codes are part of the contract of the wires; sentences may change. No sentence of a rule is in the
language of one wire: the command that helps is its `Remedy`. A sentence may hold text that a client
typed: wires make it harmless like all other text that they show.
"""

from typing import Literal, NamedTuple

# Behind each: when it is told, or what to do. docs/protocol/refusals.md is made from it.
Code = Literal[
    "already_e2ee",  # an encrypted room stays so, and keeps its name
    "already_logged_in",  # `/quit`, and connect again
    "already_there",  # you are in it
    "bad_arguments",  # type it as shown; for programs: a field, a number or a time is wrong
    "bad_base64",  # send it again
    "bad_device_payload",  # also a list that gives a device other keys
    "bad_file_name",  # give it another name
    "bad_json",  # programs only
    "bad_name",  # choose another, by the rules for names
    "bad_password",  # choose another
    "bad_signature",  # programs only
    "banned",  # from a room; or from this server: the connection is closed. Over HTTP, 403
    "busy",  # too many log in or send files at once. Over HTTP, 503
    "deleted",  # the connection is closed
    "device_id_reused",  # programs only
    "disabled",  # at login; later, the connection is closed
    "e2ee_required",  # programs send an `enc`
    "full",  # when it is the server, the connection is closed
    "hidden_command",  # type the command alone
    "internal",  # tell the operator
    "is_moderator",  # `/who` shows who is one
    "is_no_moderator",  # `/who` shows who is one
    "is_owner",  # there is nothing to do
    "kicked",  # the connection is closed; you may come back
    "line_too_long",  # say it in several lines
    "login_refused",  # the third time on one connection it is closed
    "login_required",  # before login; when the password was changed, the connection is closed
    "login_timeout",  # the connection is closed
    "mailbox_full",  # of one device among several: it was away for long, or has too much of yours
    "manifest_conflict",  # programs only
    "muted",  # in a room, or on this server; over HTTP, 403
    "name_taken",  # of a user, or of a room
    "no_ban",  # `/bans` and `/serverbans` show who is banned
    "no_device",  # programs only; also when the device was revoked meanwhile
    "no_keys",  # of one device among several: it has to bring more
    "no_mute",  # `/bans` and `/serverbans` show who is muted
    "no_room",  # programs name the `room`
    "no_such_device",  # of one device among several: there is none, or it was revoked
    "no_such_file",  # it is gone, or not of this room or for you; `/files` shows what is
    "no_such_room",  # it was deleted, or has another name now
    "no_such_session",  # `/sessions` shows them
    "no_such_token",  # `/tokens` shows them
    "no_such_transfer",  # it was used, is too old, or never was; over HTTP, 404
    "no_such_user",  # no user has that name
    "not_a_member",  # programs only
    "not_allowed",  # ask one of those who may
    "not_e2ee",  # programs only: say it in the clear, if that is meant
    "not_here",  # `/ban` works on a user who is not here
    "not_ignored",  # `/ignore` shows whom you ignore
    "not_planned",  # the operator only
    "not_stored",  # no client has seen it; send it again. Of several: `3 messages not stored: ...`
    "not_utf8",  # set your terminal to UTF-8
    "other_database",  # the operator only
    "other_protocol",  # HTTP, TLS, NDJSON, IRC, SSH or PROXY; the connection is closed
    "otk_conflict",  # programs only
    "over_quota",  # over HTTP, 413
    "rate_limited",  # what it is about has a limit an hour or a minute
    "registration_closed",  # the operator makes the accounts
    "roster_changed",  # programs only: `room.roster` says for whom
    "sent_out",  # while the request was under way; over HTTP, 403 or 404
    "session_ended",  # the connection is closed
    "shutting_down",  # connect again in a while; over HTTP, 503
    "since_too_old",  # programs only
    "tls_required",  # the operator wants no passwords in the clear
    "too_large",  # over HTTP, 413
    "too_long",  # shorten the reason, the topic or the away note
    "too_many",  # ask for fewer, or remove one
    "too_many_owned",  # admins may own more
    "too_many_rooms",  # programs only
    "too_slow",  # the connection is closed; read faster. `/history` has what you missed
    "unknown_command",  # `/help` shows all of them
    "wait",  # more attempts do not make it longer
    "which_room",  # programs only: name the `room`
    "wrong_size",  # send it again; over HTTP, 400
    "yourself",  # another user may
]

# The help for a refusal. Each wire knows how to ask for it: app/wires/words.py.
Help = Literal[
    "demote",
    "device",
    "encrypt",
    "get",
    "join",
    "login",
    "tls",
    "unignore",
    "unshare",
]


class Remedy(NamedTuple):
    """The help for a refusal, and the number of its object, if any."""

    help: Help
    number: int | None = None


class GreenroomError(Exception):
    """An error that Greenroom raises on purpose."""


class Refusal(GreenroomError):
    """A request was refused, and nothing happened.

    `code` is stable and for programs, `str(refusal)` a sentence for people. When `is_final`, the
    connection is closed once its client was told.
    """

    code: Code
    is_final = False

    def __init__(
        self,
        sentence: str,
        *,
        code: Code | None = None,
        remedy: Remedy | None = None,
        is_final: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.code = code or self.code
        self.remedy = remedy
        self.is_final = is_final


class BadLine(Refusal):
    """The line can't be understood; the lines around it can."""


class BadNameError(BadLine):
    """The text can't be a user's or a room's name; the sentence says why."""

    code: Code = "bad_name"


class TooLarge(Refusal):
    """More bytes than may be kept: of one file, or of all of a user's."""

    code: Code = "too_large"


class NotPossible(Refusal):
    """There is nothing to act on, or it is done already."""


class Forbidden(Refusal):
    """Other users may do this; this one may not."""


class LoginRefused(Refusal):
    """The login or registration failed."""

    code: Code = "login_refused"


class Unavailable(Refusal):
    """The server can't do it now; later it may."""


class NotStored(Unavailable):
    """A message or a decision could not be written. No client has seen it."""

    code: Code = "not_stored"


def internal() -> Refusal:
    """Return the refusal of a command that failed by our fault."""
    return Unavailable("something went wrong here; it was logged", code="internal")


class StartRefused(GreenroomError):
    """Nothing was started or changed; one line says why and what to do."""


class DatabaseInUse(StartRefused):
    """Another process has the database open as its own."""
