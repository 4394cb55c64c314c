"""Addresses of peers: reading them, counting several as one, and networks as people write them.

One address of IPv6 stands for its /64: a customer has that many addresses, and could come from
another each time. An address of IPv4 in IPv6 counts as IPv4.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from app.bounds import NETWORK_BITS_MIN
from app.errors import BadLine

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_REMEMBERED_MAX = 4_096  # addresses: that of a newcomer is asked for some ten times
_CUSTOMER_BITS = 64  # of an IPv6 address: one customer has at least such a network (RFC 6177)
_MAPPED_BITS = 96
_MAPPED = IPv6Network(f"::ffff:0:0/{_MAPPED_BITS}")  # IPv4 in IPv6 (RFC 4291, 2.5.5.2)
_THIS_MACHINE = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@lru_cache(_REMEMBERED_MAX)
def read_address(text: str) -> Address:
    """Read a peer's address, as the kernel writes it. Raises ValueError."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def plain_address(text: str) -> str:
    """Return an address as people know it: IPv4 that came as IPv6 is IPv4 again."""
    return text.removeprefix("::ffff:") if "." in text else text


@lru_cache(_REMEMBERED_MAX)
def origin(text: str) -> str:
    """Return the unit that limits by address count: an IPv4 address, or a /64 of IPv6.

    A text that is no address is returned as it is.
    """
    try:
        address = read_address(text)
    except ValueError:
        return text
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), _CUSTOMER_BITS), strict=False))


def parse_network(text: str) -> Network | None:
    """Read a network that a person typed; None when the text is none, and may be a name.

    A text with a colon or a slash is no name. Raises BadLine when it can be neither, is so wide
    that it is surely a slip, or has the server's own machine in it.
    """
    try:
        network = _read(text)
    except ValueError as error:
        if ":" in text or "/" in text:
            raise BadLine(
                "that is no address; write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/48",
                code="bad_arguments",
            ) from error
        return None
    bits_min = NETWORK_BITS_MIN[network.version]
    if network.prefixlen < bits_min:
        raise BadLine(f"{network} is too wide; the widest is a /{bits_min}", code="bad_arguments")
    if network.num_addresses > 1 and any(each in network for each in _THIS_MACHINE):
        raise BadLine(
            f"the server's own machine is in {network}; name its address alone, if you mean it",
            code="bad_arguments",
        )
    return network


def _read(text: str) -> Network:
    if "/" in text:
        network = ip_network(text, strict=False)
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            bits = network.prefixlen - _MAPPED_BITS
            return ip_network(f"{network.network_address.ipv4_mapped}/{bits}")
        return network
    address = read_address(text)
    is_alone = isinstance(address, IPv4Address) or address.is_loopback
    bits = address.max_prefixlen if is_alone else _CUSTOMER_BITS
    return ip_network(f"{address}/{bits}", strict=False)
