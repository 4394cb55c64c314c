"""Log in by token or password, before there is a screen.

The server is asked first whether it is there, and how to log in: a user who can't need not type
anything. A new user says so; a name with a wrong password makes no account.
"""

import ipaddress
import socket
from functools import partial

import click

from app.client import CallRefused, Client, greeting
from app.errors import BadNameError
from app.terminal.arrivals import cleaned
from app.terminal.files.transfers import Server
from app.terminal.memory import Tokens
from app.values.addresses import parse_address
from app.values.names import parse_name

_ATTEMPTS_MAX = 3
_REFUSED = "login_refused"
_OUTDATED = "The saved token is of no use any longer; log in with your password."
_NEW_WORD = "/register"
_HOW_NEW = f"New here? Answer with: {_NEW_WORD} NAME"
_CLOSED = "Accounts are made by the operator here."


def log_in(
    server: Server,
    tokens: Tokens,
    name: str = "",
    *,
    may_remember: bool = False,
    is_new: bool = False,
) -> Client:
    """Log in; ask for name and password if need be.

    Raises CallRefused, ConnectionLost; click.Abort when the user gives up.
    """
    how = greeting(server.address, server.tls)
    if how.get("needs_tls") is True:
        raise CallRefused("tls_required", "logging in needs TLS here; add --tls")
    saved = None if is_new else tokens.find(server.address, name, safety=server.safety)
    if saved:
        try:
            return Client(server.address, name=saved[0], token=saved[1], tls=server.tls)
        except CallRefused as refusal:
            if refusal.code != _REFUSED:
                raise
            tokens.forget(server.address)
            click.echo(_OUTDATED)
    label = f"terminal on {socket.gethostname()}" if may_remember else ""
    is_open = how.get("is_registration_open") is not False
    client = _ask(server, label, name, is_new=is_new, is_open=is_open)
    if may_remember and client.token:
        tokens.keep(server.address, client.user, client.token, safety=server.safety)
    return client


def is_this_machine(server: Server) -> bool:
    """Return whether a server's name leads to this machine only.

    Then nothing said to it leaves the machine.
    """
    host, port = parse_address(server.address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = {str(where[4][0]).partition("%")[0] for where in found}
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def _ask(server: Server, label: str, name: str, *, is_new: bool, is_open: bool) -> Client:
    client = partial(Client, server.address, remember=label, tls=server.tls)
    attempt = 0
    while True:
        attempt += 1
        if not name:
            name, is_new = _ask_name(is_open=is_open)
        try:
            password = _ask_password(is_new=is_new)
            return client(name=name, password=password, register=is_new)
        except CallRefused as refusal:
            if refusal.code != _REFUSED or attempt == _ATTEMPTS_MAX:
                raise
            taken = f"{name} has another password: choose another name, or log in"
            click.echo(f"The server says: {taken if is_new else cleaned(str(refusal))}.")
            name = ""


def _ask_name(*, is_open: bool) -> tuple[str, bool]:
    """Ask for a name. Returns it, and whether to make an account of that name."""
    click.echo(_HOW_NEW if is_open else _CLOSED)
    while True:
        typed = click.prompt("Name").strip()
        first, *rest = typed.split(maxsplit=1) or [""]
        if first == _NEW_WORD:
            if rest and is_open:
                return rest[0], True
        else:
            try:
                return parse_name(typed).shown, False
            except BadNameError as error:
                click.echo(f"Error: {error}")
        click.echo(_HOW_NEW if is_open else _CLOSED)


def _ask_password(*, is_new: bool) -> str:
    if not is_new:
        return str(click.prompt("Password", hide_input=True))
    while True:
        password = click.prompt("A new password", hide_input=True)
        if click.prompt("The password again", hide_input=True) == password:
            return str(password)
        click.echo("Those were two different passwords.")
