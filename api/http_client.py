"""A small HTTP client: GET, redirects that are checked one by one, and errors in our words."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import SplitResult, urljoin

from stretto.host.errors import UpstreamError

from .addresses import PORTS, checked_url, dial

__all__ = ["TIMEOUT_S", "broken", "opened"]

TIMEOUT_S = 20.0  # to connect, and between two pieces of an answer
REDIRECTS = (301, 302, 303, 307, 308)
AGENT = "stretto"


class _Plain(HTTPConnection):
    """A connection to the address that was checked."""

    private = False

    def connect(self) -> None:
        """Connect, unless the machine is not to be read from."""
        self.sock = dial(self.host, self.port, TIMEOUT_S, private=self.private)


class _Secure(HTTPSConnection):
    """The same with TLS, for the name of the URL."""

    private = False

    def connect(self) -> None:
        """Connect, unless the machine is not to be read from or has no certificate for the name."""
        plain = dial(self.host, self.port, TIMEOUT_S, private=self.private)
        self.sock = _tls().wrap_socket(plain, server_hostname=self.host)


@contextmanager
def opened(
    url: str, headers: Mapping[str, str], *, private: bool = False, redirects: int = 5
) -> Iterator[HTTPResponse]:
    """GET `url` and give the answer, whatever its status; redirects are followed, never from https to http.

    Raises BadRequestError for a URL or an address that is not to be read from, and UpstreamError.
    """
    for _ in range(redirects + 1):
        parts = checked_url(url, private=private)
        connection = _connection(parts, private=private)
        try:
            response = _asked(connection, parts, headers)
            if response.status not in REDIRECTS:
                yield response
                return
            target = urljoin(url, response.headers.get("Location", ""))
        finally:
            connection.close()
        if parts.scheme == "https" and not target.startswith("https:"):
            raise UpstreamError(f"{parts.hostname} sends from https to another scheme, which is not followed")
        url = target
    raise UpstreamError(f"{parts.hostname} answers with more than {redirects} redirects")


def broken(host: str | None, error: Exception) -> UpstreamError:
    """Say that a connection failed in the middle; trying again may help."""
    return UpstreamError(f"the connection to {host} broke ({error or type(error).__name__})", again=True)


def _asked(connection: HTTPConnection, parts: SplitResult, headers: Mapping[str, str]) -> HTTPResponse:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", path, headers={"User-Agent": AGENT, **headers})
        return connection.getresponse()
    except ssl.SSLCertVerificationError as error:
        raise UpstreamError(f"{parts.hostname} has no valid certificate ({error.verify_message})") from error
    except (OSError, HTTPException) as error:
        raise broken(parts.hostname, error) from error


def _connection(parts: SplitResult, *, private: bool) -> HTTPConnection:
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    made = _Secure(host, port, context=_tls()) if parts.scheme == "https" else _Plain(host, port)
    made.private = private
    return made


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
