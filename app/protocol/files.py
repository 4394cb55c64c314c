"""Files: sharing and fetching them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.bounds import ID_MAX, LISTED_MAX
from app.protocol.command import (
    Command,
    Count,
    FileId,
    FilePath,
    FileSize,
    FileUser,
    InRoom,
    OfferedPath,
    PageCount,
    command,
)
from app.protocol.event import Answer, Done, Event, RoomEvent
from app.values.times import Milliseconds


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A shared file; with a `recipient`, it is for that user alone, else for its room.

    The name of a file that its sender encrypted is known to devices only.
    """

    id: int
    name: str
    size: int
    sha256: str
    user: str
    recipient: str | None
    at: Milliseconds
    e2ee: bool = False


@command
class Send(InRoom):
    """Share a file with the room, or with one user: shows what to run in another terminal."""

    word = "send"
    op = "file.offer"
    name: OfferedPath = ""
    user: FileUser = ""
    size: FileSize = None
    e2ee: bool = False  # it comes encrypted, and without a name


@command
class Get(Command):
    """Fetch a file: shows what to run in another terminal."""

    word = "get"
    op = "file.get"
    file: FileId


@command
class Files(InRoom):
    """Show the room's newest files, and those between you and others; or the ones before N."""

    word = "files"
    op = "file.list"
    before: Annotated[int | None, Count("N", ID_MAX)] = None
    count: PageCount = LISTED_MAX


@command
class Upload(InRoom):
    """Share a small file from here: base64 lines follow, then a line with a dot alone."""

    word = "upload"
    op = None  # programs have a better way
    name: FilePath
    user: FileUser = ""
    data: bytes = b""


@command
class Download(Command):
    """Show a small file as base64 lines."""

    word = "download"
    op = None
    file: FileId


@command
class Unshare(Command):
    """Remove a file that you shared, or anybody's from the room (moderators)."""

    word = "unshare"
    op = "file.unshare"
    file: FileId


@dataclass(slots=True)
class FileShared(RoomEvent):
    """The user shared a file, which is kept as `id`."""

    id: int
    name: str
    size: int
    sha256: str
    at: Milliseconds


@dataclass(slots=True)
class FileSent(Event):
    """The user shared a file with one recipient."""

    user: str
    recipient: str
    id: int
    name: str
    size: int
    sha256: str
    at: Milliseconds


@dataclass(slots=True)
class UploadOffered(Answer):
    """The address for an upload, its last moment, and the file's name.

    The whole address is `server` and `url`; `path` is the name that the user gave.
    """

    url: str
    name: str
    expires_at: Milliseconds
    path: str
    server: str


@dataclass(slots=True)
class DownloadOffered(Answer):
    """The address to fetch a file at, once, until `expires_at`; in full: `server` and `url`."""

    file: int
    url: str
    name: str
    size: int
    sha256: str
    expires_at: Milliseconds
    server: str


@dataclass(slots=True)
class FilesListed(Answer):
    """Files, oldest first; `has_more` when there are older ones: those before `before_id`."""

    files: Sequence[SharedFile]
    has_more: bool
    before_id: int


@dataclass(slots=True)
class FilePrinted(Answer):
    """A whole file."""

    file: SharedFile
    data: bytes


@dataclass(slots=True)
class Unshared(Done):
    """A file is no longer shared."""

    file: int
    name: str
