"""What the person is to be told, when it is not the answer to what they asked. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.encryption.payloads import FileReference

if TYPE_CHECKING:
    from app.encryption.refusals import EncryptionRefusal

_NOTICES_MAX = 1_000  # that nobody has taken: a lying server can't fill the memory


class Notice(NamedTuple):
    """A line for the person, about a room or a user if it names one; `code` is for programs."""

    code: str
    text: str
    room: str = ""
    user: str = ""


class Shown(NamedTuple):
    """A message as it may be shown: with its text, or with the refusal that stands in its place."""

    room: str
    id: int
    user: str
    device: str
    mark: str
    kind: str = "text"
    body: str = ""
    file: FileReference | None = None
    at: int = 0  # when its sender says to have sent it, in ms; the server can hold it back
    refusal: EncryptionRefusal | None = None


class Notices:
    """What there is to tell, once each until it is taken."""

    def __init__(self) -> None:
        self._notices: list[Notice | Shown] = []

    def tell(self, code: str, text: str, *, room: str = "", user: str = "") -> None:
        """Tell something."""
        self.add(Notice(code, text, room, user))

    def refuse(self, refusal: EncryptionRefusal, *, room: str = "") -> None:
        """Tell that something was refused."""
        self.tell(refusal.code, str(refusal), room=room, user=refusal.about.get("user", ""))

    def add(self, notice: Notice | Shown) -> None:
        """Show something, unless it is waiting to be shown already."""
        if notice not in self._notices:
            self._notices.append(notice)
            del self._notices[:-_NOTICES_MAX]

    def take(self) -> list[Notice | Shown]:
        """Return what there is to show, in order, and forget it."""
        taken, self._notices = self._notices, []
        return taken
