"""Run `manage.py chat`: show the screen, or fail in words."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.client import CallRefused, Client
from app.measures.process import forbid_dumps
from app.terminal.application import Terminal, in_words
from app.terminal.arrivals import cleaned
from app.terminal.asking import TRIES_MAX
from app.terminal.files.transfers import Server
from app.terminal.login import is_this_machine, log_in
from app.terminal.memory import InputHistory, Keeping, Tokens, state_folder
from app.terminal.typed import CanNotDo
from app.values.addresses import parse_server

if TYPE_CHECKING:
    from app.terminal.encrypted.thread import Encryption

_PASSPHRASE = "Passphrase of your keys (empty: without what is encrypted)"  # noqa: S105
_PLAIN = (
    "{} is another machine, and without TLS anybody on the way reads your password: add --tls,"
    " or --plain if that may be"
)
_TLS_UNCHECKED = (
    "Warning: the server's certificate is not checked. Whoever sits between you and the server"
    " can read your password and all that is said."
)


def run(
    address: str,
    *,
    name: str = "",
    may_remember: bool = False,
    is_new: bool = False,
    is_plain: bool = False,
    has_bell: bool = True,
    downloads: Path | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Log in and chat until the user leaves. Raises click.ClickException, of one line."""
    forbid_dumps()  # before there is a password, a passphrase or a key
    server = _server(address, tls)
    if not (tls or is_plain or is_this_machine(server)):
        raise click.ClickException(_PLAIN.format(address))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.ClickException("chat is for people at a terminal; programs speak JSON")
    try:
        folder = state_folder()
        client = log_in(
            server, Tokens(folder / "tokens"), name, may_remember=may_remember, is_new=is_new
        )
        history = InputHistory(folder / "history")
        terminal = Terminal(
            client,
            server,
            history,
            downloads or Path.home() / "Downloads" / "greenroom",
            Keeping.of(folder, server.address, client.user),
            has_bell=has_bell,
            encryption=_encryption(client, folder / "keys", server),
        )
        history.is_private = lambda: terminal.model.current.is_encrypted
        asyncio.run(terminal.run())
    except CallRefused as refusal:
        raise click.ClickException(f"the server says: {cleaned(str(refusal))}") from refusal
    except OSError as error:  # such as ConnectionLost, or a folder that can't be written
        raise click.ClickException(cleaned(in_words(error))) from error


def forget(address: str) -> None:
    """Forget the token for a server."""
    if Tokens(state_folder() / "tokens").forget(_server(address, None).address):
        click.echo("Forgotten here. On the server, /tokens lists it, and /tokens N revokes it.")
    else:
        click.echo("There is no token for that server.")


def tls_context(ca: Path | None, *, is_checked: bool) -> ssl.SSLContext:
    """Return how to check a server's certificate.

    `ca`: a PEM file of certificates to check it by. Raises click.ClickException.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise click.ClickException(f"{ca} holds no certificates: {error}") from error
    if not is_checked:
        click.echo(_TLS_UNCHECKED, err=True)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _encryption(client: Client, folder: Path, server: Server) -> Encryption | None:
    """Return the user's keys, opened if there are any.

    They stay closed without the passphrase. None without the library for encryption.
    """
    try:
        from app.terminal.encrypted.keys import Keys
        from app.terminal.encrypted.thread import Encryption
    except ImportError:
        return None
    encryption = Encryption(client, Keys(folder, server.address, client.user))
    for _ in range(TRIES_MAX if encryption.has_keys else 0):
        passphrase = click.prompt(_PASSPHRASE, hide_input=True, default="", show_default=False)
        if not passphrase:
            break
        try:
            encryption.open(passphrase)
        except CanNotDo as refusal:
            click.echo(cleaned(str(refusal)))
        else:
            break
    return encryption


def _server(address: str, tls: ssl.SSLContext | None) -> Server:
    """Return a server under one name, however it is written. Raises click.ClickException."""
    try:
        host, port = parse_server(address)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    return Server(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", tls)
