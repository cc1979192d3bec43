"""URLs that this server may be sent to: their scheme, and the machines behind their names.

A name is looked up once and its address is what is connected to, so that it cannot be one machine
when it is checked and another when it is used.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import SplitResult, urlsplit

from stretto.host.errors import BadRequestError, UpstreamError

from .fields import shown

__all__ = ["checked_url", "dial", "is_public"]

PORTS = {"http": 80, "https": 443}
TEXT = re.compile(r"[!-~]+", re.ASCII)  # no spaces, no control characters, no letters beyond ASCII
LOCAL = re.compile(r"(.*\.)?(localhost|local|internal|localdomain)", re.IGNORECASE)
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
UNICAST = ipaddress.IPv6Network("2000::/3")  # RFC 4291, 2.4 and IANA: nothing else of IPv6 is the Internet's


def checked_url(url: str, *, private: bool) -> SplitResult:
    """Take a URL apart; BadRequestError unless it is http(s), and names another machine if not `private`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise BadRequestError(f"url: {shown(url)} is no URL ({error})") from error
    if not TEXT.fullmatch(url) or "\\" in url:
        raise BadRequestError(f"url: {shown(url)} is no URL; write other characters percent-encoded")
    if parts.scheme not in PORTS or not host:
        raise BadRequestError(f"url: {shown(url)} is not taken; send an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise BadRequestError(f"url: {shown(parts.scheme)} URLs with a user or password are not taken")
    host = host.rstrip(".")  # a name that is written out to the root
    if "%" in host and ":" not in host:
        raise BadRequestError(f"url: {shown(host)} is no name of a machine; write it without %")
    literal = _literal(host)
    if not private and (LOCAL.fullmatch(host) or (literal and not is_public(literal))):
        raise _refused(host)
    return parts


def is_public(address: str) -> bool:
    """Say whether an IP address is one of the Internet's; what carries an IPv4 address is judged by it."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found in NAT64:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if found not in UNICAST:
            return False
    return found.is_global and not found.is_multicast


def dial(host: str, port: int, timeout_s: float, *, private: bool) -> socket.socket:
    """Connect to a machine by name; BadRequestError when any of its addresses is not public and `private` is off.

    Raises UpstreamError when the name is not known or nothing answers.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UpstreamError(f"{host} cannot be found ({error}); check the name and the network") from error
    addresses = [str(where[0]) for *_, where in found]
    if not private and not all(is_public(address) for address in addresses):
        raise _refused(host)
    last: OSError | None = None
    for family, kind, protocol, _, where in found:
        connection = socket.socket(family, kind, protocol)
        connection.settimeout(timeout_s)
        try:
            connection.connect(where)
        except OSError as error:
            connection.close()
            last = error
        else:
            return connection
    raise UpstreamError(f"{host} port {port} cannot be reached ({last}); check the network") from last


def _literal(host: str) -> str | None:
    # 2130706433, 0x7f.1 and 127.1 are 127.0.0.1 to the system's own functions
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _refused(host: str) -> BadRequestError:
    return BadRequestError(
        f"url: {shown(host)} is this machine or one of its network, which is not read from; "
        "an administrator may allow it (setting allow_private_downloads)"
    )
