"""Notices for the person, beside answers to their requests. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.encryption.payloads import FileReference

if TYPE_CHECKING:
    from app.encryption.refusals import EncryptionRefusal

_NOTICES_MAX = 1_000  # that were not taken: a lying server can't fill the memory


class Notice(NamedTuple):
    """A line for the person; `code` is for programs.

    It is about a room or a user, if it names one.
    """

    code: str
    text: str
    room: str = ""
    user: str = ""


class Shown(NamedTuple):
    """A message as it may be shown. It has its text, or a refusal in its place."""

    room: str
    id: int
    user: str
    device: str
    mark: str
    kind: str = "text"
    body: str = ""
    file: FileReference | None = None
    at: int = 0  # the sender's time, in ms; the server may have held it back
    refusal: EncryptionRefusal | None = None


class Notices:
    """Notices and late messages that wait to be shown. None is there twice."""

    def __init__(self) -> None:
        self._notices: list[Notice | Shown] = []

    def tell(self, code: str, text: str, *, room: str = "", user: str = "") -> None:
        """Add a notice."""
        self.add(Notice(code, text, room, user))

    def refuse(self, refusal: EncryptionRefusal, *, room: str = "") -> None:
        """Add a notice with the sentence of a refusal."""
        self.tell(refusal.code, str(refusal), room=room, user=refusal.about.get("user", ""))

    def add(self, notice: Notice | Shown) -> None:
        """Add something to show, unless it waits already.

        The oldest is dropped when too many wait.
        """
        if notice not in self._notices:
            self._notices.append(notice)
            del self._notices[:-_NOTICES_MAX]

    def take(self) -> list[Notice | Shown]:
        """Return all that wait to be shown, and forget them. They are in order."""
        taken, self._notices = self._notices, []
        return taken
