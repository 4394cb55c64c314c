"""Who is it? Asks for a name and a password before there is a screen, or takes a saved token."""

import socket
from functools import partial

import click

from app.client import CallRefused, Client
from app.terminal.arrivals import cleaned
from app.terminal.memory import Tokens
from app.terminal.transfers import Server

_ATTEMPTS_MAX = 3
_REFUSED = "login_refused"
_OUTDATED = "The saved token is of no use any more; log in with your password."


def log_in(server: Server, tokens: Tokens, name: str = "", *, may_remember: bool = False) -> Client:
    """Log in, asking for what is not known.

    Raises CallRefused, ConnectionLost; click.Abort when the user gives up.
    """
    saved = tokens.find(server.address, name)
    if saved:
        try:
            return Client(server.address, name=saved[0], token=saved[1], tls=server.tls)
        except CallRefused as refusal:
            if refusal.code != _REFUSED:
                raise
            tokens.forget(server.address)
            click.echo(_OUTDATED)
    client = _ask(server, name, f"terminal on {socket.gethostname()}" if may_remember else "")
    if may_remember and client.token:
        tokens.keep(server.address, client.user, client.token)
    return client


def _ask(server: Server, given_name: str, label: str) -> Client:
    client = partial(Client, server.address, remember=label, tls=server.tls)
    attempt = 0
    while True:
        attempt += 1
        name = given_name or click.prompt("Name")
        password = click.prompt("Password", hide_input=True)
        try:
            return client(name=name, password=password)
        except CallRefused as refusal:
            if refusal.code != _REFUSED or attempt == _ATTEMPTS_MAX:
                raise
            click.echo(f"The server says: {cleaned(str(refusal))}.")
        if click.confirm(f"Are you new here, and shall {name} be registered?"):
            again = click.prompt("The password again", hide_input=True)
            if again == password:
                return client(name=name, password=password, register=True)
            click.echo("That is not the same password.")
