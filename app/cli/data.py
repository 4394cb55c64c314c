"""manage.py export, backup and restore: take data elsewhere, and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from app.cli.arguments import SPAN, PathType
from app.cli.asking import asking, command_settings, reading, running_server
from app.cli.output import new_file, progress_bar

if TYPE_CHECKING:
    from app.settings import Settings

_FILE = PathType(dir_okay=False, path_type=Path)


@click.command(epilog="Example: manage.py export lobby --since 7d --output lobby.ndjson")
@click.argument("room")
@click.option("--format", "form", type=click.Choice(["ndjson", "text"]), default="ndjson")
@click.option("--output", type=_FILE, help="Where to; without it, standard output.")
@click.option("--since", type=SPAN, help="Only what is not older: 30m, 2h, 7d.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def export(room: str, form: str, output: Path | None, since: int | None, force: bool) -> None:
    """Write out what was said and shared in a room, oldest first: for programs, or for people.

    A line is a message as programs are sent it, or with `--format text` as people read it. Of a
    file it has name, size and sum. It works beside a server as well as without one.
    """
    if output is None:
        _export(room, form, since, sys.stdout.buffer)
        return
    with new_file(output, is_forced=force) as part, part.open("wb") as file:
        _export(room, form, since, file)


def _export(room_name: str, form: str, since: int | None, file: BinaryIO) -> None:
    from app.archive import exporting
    from app.queries import retention
    from app.values.names import parse_name
    from app.values.times import now
    from app.wires.ndjson import events as ndjson_events
    from app.wires.text import events as text_events

    key = parse_name(room_name).key
    with reading() as engine:
        with engine.begin() as connection:
            room = retention.find(connection, key)
        if room is None:
            raise click.ClickException(f"there is no room {room_name}")
        since_at = now() - since * 1000 if since else 0
        render = ndjson_events.render if form == "ndjson" else text_events.render_dated
        for event in exporting.everything(engine, room.id, since_at):
            file.write(render(event))
    file.flush()


@click.command(epilog="Example: manage.py backup /var/backups/greenroom/monday.db")
@click.argument("file", type=_FILE)
def backup(file: Path) -> None:
    """Copy the database, as it is at this moment, to a file: beside a server or without one.

    The copy is looked through before it has its name. `manage.py restore` goes back to it.
    """
    from app.archive.backup import back_up

    os.umask(0o077)
    settings = command_settings()
    with new_file(file) as part, progress_bar("copying") as progress:
        if not _copied_by_server(settings, part.absolute()):
            back_up(settings.url, part, progress)
    click.echo(f"{file} has all of it: {file.stat().st_size:,} bytes.")


def _copied_by_server(settings: Settings, path: Path) -> bool:
    """Have the running server copy a database that is gone.

    It is gone from its path, but the server has it open. Returns whether that was done. Raises
    click's error.
    """
    connection = running_server(settings)
    if connection is None:
        return False
    with asking(connection) as ask:
        if ask("status")["now"]["database_fate"] != "gone":
            return False
        ask("backup", path=str(path))
    return True


@click.command(epilog="Example: manage.py restore /var/backups/greenroom/monday.db")
@click.argument("file", type=_FILE)
@click.option("--keep-tokens", is_flag=True, help="Let programs log in with the tokens they had.")
def restore(file: Path, keep_tokens: bool) -> None:
    """Go back to a backup. What there is now is kept beside it. No server may run.

    What was said since the backup is not there any more; programs that come back are told so, and
    no id is given twice. Bans and disabled accounts are as they were then.
    """
    from app.archive.backup import restore as go_back
    from app.values.times import now

    os.umask(0o077)
    with progress_bar("copying") as progress:
        done = go_back(command_settings().url, file, progress, now(), keeps_tokens=keep_tokens)
    if done.migrated_from:
        click.echo(f"It was of revision {done.migrated_from}, and was migrated.")
    if done.kept:
        click.echo(f"What there was is now {done.kept}.")
    click.echo(f"Ended {done.tokens_ended} tokens, dropped {done.files_dropped} half-sent files.")
    click.echo(f"Restored {done.messages:,} messages, up to number {done.last_id}.")
