"""Carry out `/send` and `/get`: the request, then the transfer."""

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from app.terminal.arrivals import Json, cleaned
from app.terminal.files.transfers import Progress, Server, TransferFailed, download, upload
from app.values.addresses import expand_home

_TO_USER = re.compile(r"(.+) to (\S+)")
_URL = re.compile(r"/f/[A-Za-z0-9_~.-]{1,200}")
_BAR_CELLS = 10

_Call = Callable[..., Awaitable[Json]]


class Files:
    """Sends files, and fetches them into one folder. It shows the progress."""

    def __init__(
        self, call: _Call, server: Server, downloads: Path, show: Callable[[str], None]
    ) -> None:
        """Keep `call`, for requests, and `show`, for progress."""
        self.call = call
        self.server = server
        self.downloads = downloads
        self._show = show
        self._is_closed = False

    def close(self) -> None:
        """Give up transfers under way."""
        self._is_closed = True

    async def send(self, text: str, room: str) -> str:
        """Send a file; `text` is PATH [to USER].

        Returns the sentence to tell. Raises TransferFailed, CallRefused, ConnectionLost, OSError.
        """
        path, whom = what_to_send(text, room)
        size = path.stat().st_size
        offer = await self.call("file.offer", name=path.name, size=size, **whom)
        progress = self.progress(path.name)
        await asyncio.to_thread(upload, self.server, url_of(offer), path, progress)
        return f"{path.name} is sent, and arrived whole."

    async def get(self, number: int) -> str:
        """Fetch a file; return the sentence to tell. Raises as `send`."""
        offer = await self.call("file.get", file=number)
        name, size, digest = (offer.get(field) for field in ("name", "size", "sha256"))
        if not isinstance(size, int):
            raise TransferFailed("the server does not say how large it is")
        progress = self.progress(str(name))
        where = await asyncio.to_thread(
            download,
            self.server,
            url_of(offer),
            self.downloads,
            str(name),
            size,
            str(digest),
            progress,
        )
        return f"{where} is here, and whole."

    def progress(self, name: str) -> Progress:
        """Return a function that shows a transfer's progress.

        The transfer's thread calls it with the bytes done, and all. It raises TransferFailed when
        the program ends.
        """
        loop = asyncio.get_running_loop()
        shown = -1

        def progress(done: int, size: int) -> None:
            nonlocal shown
            if self._is_closed:
                raise TransferFailed("the program ended")
            percent = 100 * done // max(size, 1)
            if percent != shown:
                shown = percent
                loop.call_soon_threadsafe(self._show, bar(cleaned(name), percent))

        return progress


def bar(name: str, percent: int) -> str:
    """Return a progress bar: report.pdf ██████░░░░ 61%."""
    full = _BAR_CELLS * percent // 100
    short = name if len(name) <= _BAR_CELLS * 2 else f"{name[: _BAR_CELLS * 2 - 1]}…"
    return f"{short} {'█' * full}{'░' * (_BAR_CELLS - full)} {percent}%"


def what_to_send(text: str, room: str) -> tuple[Path, dict[str, str]]:
    """Read PATH [to USER], typed in a room.

    Returns the file, and the user or room that it goes to. Raises TransferFailed.
    """
    path, user = path_and_user(text)
    if not user and not room:
        raise TransferFailed("join a room first, or say to whom: /send PATH to USER")
    if path.is_dir():
        name = shlex.quote(path.name)
        raise TransferFailed(f"{path} is a folder; pack it first: tar czf {name}.tar.gz {name}")
    if not path.is_file():
        raise TransferFailed(f"there is no file {path}")
    return path, {"user": user} if user else {"room": room}


def path_and_user(text: str) -> tuple[Path, str]:
    """Read `PATH [to USER]`: plain, quoted, escaped, or file://.

    It may be typed, dropped or pasted. A file that has the whole text as its name comes first.
    Raises TransferFailed.
    """
    if path_of(text).is_file():
        return path_of(text), ""
    match = _TO_USER.fullmatch(text)
    path, user = (match[1], match[2]) if match else (text, "")
    if not path_of(path).is_file():
        path = _unquoted(path)
    return path_of(path), user


def path_of(text: str) -> Path:
    """Return a path, with `~` for the home folder. Raises TransferFailed where there is none."""
    try:
        return Path(expand_home(text))
    except ValueError as error:
        raise TransferFailed(str(error)) from error


def _unquoted(path: str) -> str:
    """Undo the quoting of a shell or a file manager."""
    path = path.strip()
    try:
        if path.startswith("file://"):
            return unquote(urlsplit(path).path)
        words = shlex.split(path)
    except ValueError:  # a bracket, a quote or a backslash that is left open
        return path
    return words[0] if len(words) == 1 else path


def url_of(offer: Any) -> str:
    """Return the path in an offer.

    It must be one of /f/, because nothing else is fetched. Raises TransferFailed.
    """
    url = str(offer.get("url"))
    if not _URL.fullmatch(url):
        raise TransferFailed("the server does not say where")
    return url
