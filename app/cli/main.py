"""manage.py itself, and its commands that serve and chat.

The others are added from their files.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from app.cli.accounts import createuser, users
from app.cli.arguments import PathType
from app.cli.asking import command_settings, settings_with
from app.cli.audit import audit
from app.cli.data import backup, export, restore
from app.cli.live import announce, shutdown, who
from app.cli.moderation import ban, bans, kick, mute, unban, unmute
from app.cli.rooms import rooms
from app.cli.standard import (
    check_arguments,
    open_missing,
    stopping_in_words,
    told_in_words,
)
from app.cli.status import status, top
from app.cli.upkeep import purge, retention, vacuum
from app.errors import GreenroomError

_FILE = PathType(exists=True, dir_okay=False, path_type=Path)
_FOLDER = PathType(file_okay=False, path_type=Path)


# The sections of --help, in order; a command that is in none comes last.
_SECTIONS = {
    "Serving and chatting": ("runserver", "shutdown", "selfsigned", "chat"),
    "Seeing inside": ("status", "top", "who", "audit"),
    "People": ("createuser", "users", "announce", "kick", "ban", "unban", "mute", "unmute", "bans"),
    "Rooms and what was said": ("rooms", "purge", "retention", "export"),
    "The database": ("backup", "restore", "vacuum"),
}


# Settings that are secret: ps shows a command line to all users.
_SECRET = ("metrics_token",)
_HAS_PASSWORD = re.compile(r"://[^/?#@:]*:[^/?#]*@|password=", re.IGNORECASE)


class _GivenUp(click.ClickException):
    """The user said no, or pressed Ctrl-C or Ctrl-D."""

    def __init__(self) -> None:
        super().__init__("nothing was done")

    def show(self, file: Any = None) -> None:
        answer = self.__cause__
        if answer is not None and answer.__context__ is not None:
            click.echo(err=True)  # a new line behind the question, where nothing was typed
        click.echo("Nothing was done.", file=file, err=True)


class _Group(click.Group):
    """Shows refusals in one line, and commands by subject."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        rest = set(self.commands)
        for title, names in [*_SECTIONS.items(), ("More", sorted(rest))]:
            here = [name for name in names if name in rest]
            rest.difference_update(here)
            if here:
                with formatter.section(title):
                    summaries = [self.commands[name].get_short_help_str(60) for name in here]
                    formatter.write_dl(list(zip(here, summaries, strict=True)))

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        open_missing()
        return super().main(args, *rest, **extra)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with told_in_words():  # --help
            return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        check_arguments(args)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            with told_in_words():
                return super().invoke(context)
        except click.Abort as answer:
            raise _GivenUp from answer
        except UnicodeError as error:
            if sys.stdin.isatty():
                click.echo(err=True)  # a new line behind the question
            raise click.ClickException("what was typed is not UTF-8, and was not used") from error
        except GreenroomError as error:
            from app.values.names import harmless

            raise click.ClickException(harmless(str(error))) from error


class _ServerCommand(click.Command):
    """Has a flag for every setting. They are made from the settings when they are asked for."""

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        from dataclasses import fields

        from app.settings import Settings

        flags = (
            click.Option(
                [f"--{each.name.replace('_', '-')}", each.name],
                help=each.metadata["description"],
                is_flag=each.type is bool,
                default=None,
                hidden=each.name in _SECRET,
                callback=_refuse_secret if each.metadata["is_secret"] else None,
            )
            for each in fields(Settings)
            if each.name != "listen"
        )
        return [*super().get_params(context), *flags]


def _refuse_secret(_context: click.Context, option: click.Parameter, value: str | None) -> Any:
    """Return a flag's value.

    Raises click's error for a secret: it must not be on the command line.
    """
    name = str(option.name)
    if value is not None and (name in _SECRET or _HAS_PASSWORD.search(value)):
        raise click.UsageError(
            f"everybody on this machine can see what follows {option.opts[0]}; put it into the "
            f"environment or .env instead: GREENROOM_{name.upper()}"
        )
    return value


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: manage.py runserver 8889",
)
def main() -> None:
    """Greenroom: a chat server that you can telnet into."""


@main.command(
    cls=_ServerCommand,
    epilog="Example: manage.py runserver 0.0.0.0:8888 --require-tls --tls-cert cert.pem",
)
@click.argument("address", required=False, metavar="[[HOST:]PORT]")
def runserver(address: str | None, **flags: str | bool | None) -> None:
    """Run the server until Ctrl-C.

    Every flag is a setting, and an environment variable: --data-dir is GREENROOM_DATA_DIR.
    """
    os.umask(0o077)
    with stopping_in_words():
        settings = settings_with(listen=address, **flags)
        if settings.tls_cert:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is about to load the certificate
        from app.net.main import run

        run(settings)


@main.command(epilog="Example: manage.py chat chat.example.org:8888 --name alice --tls")
@click.argument("address", default="127.0.0.1:8888", metavar="[HOST][:PORT]")
@click.option("--name", default="", help="Who you are; without it you are asked.")
@click.option("--remember", is_flag=True, help="Keep a token: next time, no password is asked.")
@click.option("--forget", is_flag=True, help="Forget the token for this server, and end.")
@click.option("--bell/--no-bell", default=True, help="Ring when somebody calls you by name.")
@click.option("--downloads", type=_FOLDER, help="Where /get puts files: ~/Downloads/greenroom.")
@click.option("--register", is_flag=True, help="Make an account: you are new there.")
@click.option("--plain", is_flag=True, help="Speak without TLS to another machine.")
@click.option("--tls", is_flag=True, help="Speak TLS, and check the server's certificate.")
@click.option("--tls-ca", type=_FILE, help="Certificates to check it by: a PEM file.")
@click.option("--tls-insecure", is_flag=True, help="Speak TLS, and check nothing.")
def chat(
    address: str,
    name: str,
    remember: bool,
    forget: bool,
    register: bool,
    plain: bool,
    bell: bool,
    downloads: Path | None,
    tls: bool,
    tls_ca: Path | None,
    tls_insecure: bool,
) -> None:
    """Chat at this terminal."""
    from app.terminal import main as terminal

    if forget:
        terminal.forget(address)
        return
    is_secure = tls or tls_ca or tls_insecure
    terminal.run(
        address,
        name=name,
        may_remember=remember,
        is_new=register,
        is_plain=plain,
        has_bell=bell,
        downloads=downloads,
        tls=terminal.tls_context(tls_ca, is_checked=not tls_insecure) if is_secure else None,
    )


@main.command(epilog="Example: manage.py selfsigned --host chat.example.org")
@click.option(
    "--host", "hosts", multiple=True, help="Names or addresses that clients will use: a,b."
)
@click.option("--directory", type=PathType(path_type=Path), help="Where; else the data directory.")
@click.option("--force", is_flag=True, help="Replace what there is.")
def selfsigned(hosts: tuple[str, ...], directory: Path | None, force: bool) -> None:
    """Make a certificate that vouches for itself, to try TLS with."""
    from app.net.selfsigned import LOCAL_HOSTS, make_certificate, parse_hosts, write_files

    names = list(dict.fromkeys((*LOCAL_HOSTS, *parse_hosts(hosts))))
    folder = directory or command_settings().data_dir
    certificate_path, key_path = folder / "tls-cert.pem", folder / "tls-key.pem"
    certificate, key, fingerprint = make_certificate(names)
    write_files({key_path: key, certificate_path: certificate}, is_forced=force)
    click.echo(f"runserver --tls-cert {certificate_path} --tls-key {key_path}")
    click.echo(f"or: GREENROOM_TLS_CERT={certificate_path} GREENROOM_TLS_KEY={key_path}")
    click.echo(f"for: {', '.join(names)}")
    click.echo(f"SHA-256 fingerprint: {fingerprint}")


@main.command(epilog="Example: manage.py schema > protocol.schema.json")
def schema() -> None:
    """Print the JSON Schema of what programs send and are sent."""
    import json

    from app.wires.ndjson.schema import schema

    click.echo(json.dumps(schema(), indent=1))


for each in (
    *(createuser, users, rooms, who, announce, shutdown),
    *(kick, ban, unban, mute, unmute, bans, audit),
    *(purge, retention, vacuum, export, backup, restore, status, top),
):
    main.add_command(each)
