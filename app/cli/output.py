"""Make a command's files: whole or not at all.

They are for their owner alone, and replace no other file unless forced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.database.disk import sync


@contextmanager
def new_file(path: Path, *, is_forced: bool | None = None) -> Iterator[Path]:
    """Yield an empty file, which gets its name when full.

    All of it is on the disk then. Raises click's error if it can't be made, or the name is taken
    and it is not forced; `is_forced` is None for a command without --force.
    """
    _check_free(path, is_forced=is_forced)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield part
            sync(part)
            _check_free(path, is_forced=is_forced)
            part.replace(path)
            sync(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise click.ClickException(f"can't write {path}: {error.strerror}") from error


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of something long, at a terminal.

    Yields a function that takes how much is done, and the total.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _check_free(path: Path, *, is_forced: bool | None) -> None:
    if path.exists() and not is_forced:
        remedy = "choose another name" if is_forced is None else "--force replaces it"
        raise click.ClickException(f"{path} is there already; {remedy}")
