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

Codes are part of the contract of the wires; sentences may change. A sentence may hold text that a
client typed: wires make it harmless like all other text that they show.
"""

from typing import Literal

Code = Literal[
    "already_e2ee",
    "already_logged_in",
    "already_there",
    "bad_arguments",
    "bad_base64",
    "bad_device_payload",
    "bad_file_name",
    "bad_json",
    "bad_name",
    "bad_password",
    "bad_signature",
    "banned",
    "busy",
    "deleted",
    "device_id_reused",
    "disabled",
    "e2ee_required",
    "full",
    "hidden_command",
    "internal",
    "is_moderator",
    "is_no_moderator",
    "is_owner",
    "kicked",
    "line_too_long",
    "login_refused",
    "login_required",
    "login_timeout",
    "mailbox_full",
    "manifest_conflict",
    "muted",
    "name_taken",
    "no_ban",
    "no_device",
    "no_keys",
    "no_mute",
    "no_room",
    "no_such_device",
    "no_such_file",
    "no_such_room",
    "no_such_session",
    "no_such_token",
    "no_such_transfer",
    "no_such_user",
    "not_a_member",
    "not_allowed",
    "not_e2ee",
    "not_here",
    "not_ignored",
    "not_planned",
    "not_stored",
    "not_utf8",
    "other_database",
    "other_protocol",
    "otk_conflict",
    "over_quota",
    "rate_limited",
    "registration_closed",
    "roster_changed",
    "sent_out",
    "session_ended",
    "shutting_down",
    "since_too_old",
    "tls_required",
    "too_large",
    "too_long",
    "too_many",
    "too_many_owned",
    "too_many_rooms",
    "too_slow",
    "unknown_command",
    "wait",
    "which_room",
    "wrong_size",
    "yourself",
]


class GreenroomError(Exception):
    """An error that Greenroom raises on purpose."""


class Refusal(GreenroomError):
    """A request was refused, and nothing happened.

    `code` is stable and for programs, `str(refusal)` a sentence for people. When `is_final`, the
    connection is closed once its client was told.
    """

    code: Code
    is_final = False

    def __init__(self, sentence: str, *, code: Code | None = None, is_final: bool = False) -> None:
        super().__init__(sentence)
        self.code = code or self.code
        self.is_final = is_final


class BadLine(Refusal):
    """The line can't be understood; the lines around it can."""


class BadNameError(BadLine):
    """The text can't be the name of a user or a room; the sentence says why."""

    code: Code = "bad_name"


class TooLarge(Refusal):
    """More bytes than may be kept: of one file, or of all of a user's."""

    code: Code = "too_large"


class NotPossible(Refusal):
    """There is nothing that the command could act on, or it is done already."""


class Forbidden(Refusal):
    """Other users may do this; this one may not."""


class LoginRefused(Refusal):
    """The login or registration failed."""

    code: Code = "login_refused"


class Unavailable(Refusal):
    """The server can't do it now; later it may."""


class NotStored(Unavailable):
    """A message, or a decision, could not be written, so no client has seen it."""

    code: Code = "not_stored"


def internal() -> Refusal:
    """Return the refusal of a command that failed by a fault of the server."""
    return Unavailable("something went wrong here; it was logged", code="internal")


class StartRefused(GreenroomError):
    """Nothing was started or changed; one line says why and what to do."""


class DatabaseInUse(StartRefused):
    """Another process has the database open as its own."""
