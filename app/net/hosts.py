"""The names of the server over HTTP. Requests under another name are refused.

A browser sends the name that it looked up (Host). A hostile page can have its own name lead to this
machine (DNS rebinding), and could then read pages that are for this machine alone. But it can't
send another name.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING

from app.net.requests import parse_authority
from app.values.addresses import parse_host

if TYPE_CHECKING:
    from app.settings import Settings

_NOT_KNOWN = (
    "this server is not known by that name; whoever runs it can add it: GREENROOM_WEB_HOSTS"
)
_NO_HOST = "Host is HOST or HOST:PORT, an address of IPv6 in brackets"
_MISSING = "a request names the host that it is for, in Host"


class KnownHosts:
    """The names of a server: of its machine, settings and certificate."""

    def __init__(
        self, settings: Settings, certified: Callable[[], Collection[str]] = frozenset
    ) -> None:
        machine = socket.gethostname().lower()
        self._names = {"localhost", machine, machine.partition(".")[0], *settings.web_hosts}
        if settings.public_url:
            self._names.add(parse_host(settings.public_url))
        self._certified = certified

    def refusal(self, request: Mapping[str, str]) -> tuple[str, str] | None:
        """Return the status and the sentence that refuse a request (WSGI); None if it is served.

        Without a name, only HTTP/1.0 for /healthz is served: balancers and monitors ask so.
        """
        host = request.get("HTTP_HOST", "")
        if host:
            name = parse_authority(host)
            if name is None:
                return "400 Bad Request", _NO_HOST
            return None if self._knows(name) else ("421 Misdirected Request", _NOT_KNOWN)
        is_old = request["SERVER_PROTOCOL"] == "HTTP/1.0"
        if is_old and request["PATH_INFO"] == "/healthz":
            return None
        return "400 Bad Request", _MISSING

    def _knows(self, text: str) -> bool:
        try:
            host = parse_host(text)
        except ValueError:
            return False
        certified = self._certified()
        if host in self._names or host in certified:
            return True
        if f"*.{host.partition('.')[2]}" in certified:
            return True
        try:
            ip_address(host)
        except ValueError:
            return False
        return True
