"""Accounts: logging in, tokens, sessions, and what admins do to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.bounds import ID_MAX
from app.protocol.command import (
    AfterName,
    Command,
    Count,
    End,
    Label,
    Level,
    Rest,
    Secret,
    UserName,
    Word,
    command,
)
from app.protocol.event import Answer, Done, Ended
from app.values.times import Milliseconds

Password = str  # typed at a prompt, or piped, and never in a chat


@dataclass(frozen=True, slots=True)
class Account:
    """An account. A disabled one can't log in; a deleted one is disabled for good."""

    name: str
    is_admin: bool
    is_disabled: bool
    made_at: Milliseconds
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """A session; `user` is None before login. Numbers rise, and are not reused.

    `is_this` is true of the session that asked.
    """

    number: int
    user: str | None
    address: str
    wire: str
    rooms: Sequence[str]
    unread_bytes: int
    connected_at: Milliseconds
    is_this: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A token, which logs in without a password. Its secret is shown only once."""

    number: int
    label: str
    made_at: Milliseconds
    used_at: Milliseconds


@command
class Register(Command):
    """Make an account and log in."""

    word = "register"
    least = Level.ANYBODY
    name: Annotated[str, Word("NAME")]
    password: Secret
    remember: Label = ""


@command
class Login(Command):
    """Log in."""

    word = "login"
    least = Level.ANYBODY
    name: Annotated[str, Word("NAME", is_needed=True)] = ""
    password: Secret = ""
    token: str = ""  # instead of both
    remember: Label = ""  # asks for a token, under that label


@command
class Passwd(Command):
    """Change your password; alone, it asks without showing what you type."""

    word = "passwd"
    old: Annotated[str, Word("OLD")]
    new: Annotated[str, Rest("NEW")]


@command
class Unregister(Command):
    """Delete your account, for good: nobody is given your name, and what you said stays."""

    word = "unregister"
    password: Secret


@command
class Tokens(Command):
    """Show what logs in as you without your password; with its number, revoke one."""

    word = "tokens"
    revoke: Annotated[int | None, Count("N", ID_MAX)] = None


@command
class Sessions(Command):
    """Show your sessions, or everybody's (admins); with its number, end one of yours."""

    word = "sessions"
    suits_operator = True
    end: Annotated[int | None, End("end N", ID_MAX)] = None
    after: Annotated[int, Count("AFTER", ID_MAX)] = 0


@command
class UserDisable(Command):
    """End all that an account may, and let it log in no more (admins)."""

    word = "disable"
    op = "user.disable"
    least = Level.ADMIN
    user: UserName


@command
class UserEnable(Command):
    """Let a disabled account log in again (admins)."""

    word = "enable"
    op = "user.enable"
    least = Level.ADMIN
    user: UserName


@command
class UserList(Command):
    """Show all accounts, in the alphabet's order, those after a name (admins)."""

    word = "users"
    op = "user.list"
    least = Level.ADMIN
    after: AfterName = ""


@command
class UserCreate(Command):
    """Make an account."""

    word = "createuser"
    op = "user.create"
    least = Level.OPERATOR
    user: UserName
    password: Password
    is_admin: bool = False


@command
class UserPassword(Command):
    """Set an account's password, and end all that it was used for."""

    word = "setpassword"
    op = "user.password"
    least = Level.OPERATOR
    user: UserName
    password: Password


@command
class UserAdmin(Command):
    """Make an account an admin, or one no more, at once."""

    word = "admin"
    op = "user.admin"
    least = Level.OPERATOR
    user: UserName
    is_admin: bool = True


@command
class UserDelete(Command):
    """Delete an account, for good: nobody is given its name, and what it said stays."""

    word = "userdelete"
    op = "user.delete"
    least = Level.OPERATOR
    user: UserName


@dataclass(slots=True)
class LoggedIn(Answer):
    """The session speaks for `user` from now on; `token`, if asked for, logs in as well."""

    user: str
    token: str | None = None


@dataclass(slots=True)
class TokensListed(Answer):
    """The user's tokens."""

    tokens: Sequence[Token]


@dataclass(slots=True)
class AccountsListed(Answer):
    """A page of accounts, by name; `has_more` when there are others after it."""

    accounts: Sequence[Account]
    has_more: bool


@dataclass(slots=True)
class SessionsListed(Answer):
    """A page of sessions, the oldest first; `has_more` when there are others after it."""

    sessions: Sequence[Connection]
    has_more: bool


@dataclass(slots=True)
class PasswordChanged(Done):
    """The user set a new password."""


@dataclass(slots=True)
class AccountMade(Done):
    """The user can log in."""

    user: str
    is_admin: bool


@dataclass(slots=True)
class PasswordSet(Done):
    """The operator gave the user a new password."""

    user: str


@dataclass(slots=True)
class AdminSet(Done):
    """The user is an admin now, or no longer."""

    user: str
    is_admin: bool


@dataclass(slots=True)
class AccountDisabled(Done):
    """The user can no longer log in."""

    user: str


@dataclass(slots=True)
class AccountEnabled(Done):
    """The user can log in again."""

    user: str


@dataclass(slots=True)
class AccountDeleted(Done):
    """The user's account is deleted for good; `is_own` at their own request."""

    user: str
    is_own: bool = False


@dataclass(slots=True)
class EndedByPassword(Ended):
    """The user's password was changed: in another session, or by the operator."""

    code = "login_required"
    by_operator: bool


@dataclass(slots=True)
class EndedBySession(Ended):
    """The user ended this session from another one."""

    code = "session_ended"


@dataclass(slots=True)
class EndedByDisabling(Ended):
    """The user can no longer log in."""

    code = "disabled"


@dataclass(slots=True)
class EndedByDeletion(Ended):
    """The user's account is deleted for good."""

    code = "deleted"
