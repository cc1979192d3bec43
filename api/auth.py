"""Who sends a request: a token from a header or the cookie into a user; and logging in, a bounded number of times."""

from __future__ import annotations

import ipaddress
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from stretto.host.errors import AuthenticationError, TooManyRequestsError

from .access import NO_AUTH, User
from .accounts import log_in
from .entities import Records
from .tokens import LIFE_S, Token, owner

__all__ = ["COOKIE", "Attempts", "Auth", "cookie_of"]

COOKIE = "enfugue_token"
COOKIE_TOKEN = re.compile(rf"(?:^|;)\s*{COOKIE}=([0-9a-f]{{32}})\s*(?:;|$)", re.ASCII)
HEADERS = ("HTTP_AUTHORIZATION", "HTTP_AUTHENTICATION")
WINDOW_S = 60.0
PER_ADDRESS, PER_NAME = 10, 30  # failures within the window
MAX_KEYS = 10000
IPV6_NETWORK = 64  # bits that one subscriber has


class Attempts:
    """Failed logins of the last minute, by address and by name; safe to call from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def begin(self, address: str, username: str) -> Callable[[], None]:
        """Count an attempt as failed, and give what takes that back.

        Raises TooManyRequestsError, which says when to come again, while there were too many.
        """
        limits = {f"from {network_of(address)}": PER_ADDRESS, f"as {username.lower()}": PER_NAME}
        with self._lock:
            now = self._clock()
            self._tidy(now)
            for key, limit in limits.items():
                times = self._failed.get(key)
                if times is not None and len(times) >= limit:
                    raise _too_many(times[0] + WINDOW_S - now)
            for key in limits:
                self._failed.setdefault(key, deque()).append(now)

        def forgive() -> None:
            with self._lock:
                for key in limits:
                    if now in (times := self._failed.get(key, deque())):
                        times.remove(now)

        return forgive

    def _tidy(self, now: float) -> None:
        for key in list(self._failed):
            times = self._failed[key]
            while times and times[0] <= now - WINDOW_S:
                times.popleft()
            if not times:
                del self._failed[key]
        while len(self._failed) > MAX_KEYS:
            del self._failed[next(iter(self._failed))]


class Auth:
    """Knows callers by their tokens; `required` says whether one is needed at the moment."""

    def __init__(self, records: Records, required: Callable[[], bool]) -> None:
        self._records = records
        self._required = required
        self._attempts = Attempts()
        # what nobody in particular gets while no token is needed; worth nothing once one is
        self.noauth_token = secrets.token_hex(16)

    @property
    def required(self) -> bool:
        """Say whether callers need a token."""
        return self._required()

    def caller(self, environ: Mapping[str, Any]) -> User | None:
        """Give the user of a request; None is nobody, which happens only where a token is needed."""
        for text in _sent(environ):
            user = owner(self._records, text)
            if user is not None and user.id != NO_AUTH.id:
                return user
        return None if self._required() else NO_AUTH

    def log_in(self, username: object, password: object, address: str) -> Token:
        """Give a token; raises AuthenticationError and TooManyRequestsError."""
        if not (isinstance(username, str) and isinstance(password, str) and username and password):
            raise AuthenticationError("Missing username or password.")
        forgive = self._attempts.begin(address, username)
        token = log_in(self._records, username, password)
        forgive()
        return token


def cookie_of(text: str, life_s: float = LIFE_S) -> tuple[str, str]:
    """Give the header that sets the cookie; no script reads it and no other site's page sends it."""
    return "Set-Cookie", f"{COOKIE}={text}; Path=/; Max-Age={int(life_s)}; HttpOnly; SameSite=Strict"


def network_of(address: str) -> str:
    """Give what stands for one caller: an IPv4 address, or the network of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "elsewhere"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(ipaddress.IPv6Network((int(found) >> IPV6_NETWORK << IPV6_NETWORK, IPV6_NETWORK)))


def _sent(environ: Mapping[str, Any]) -> list[str]:
    sent = []
    for name in HEADERS:
        scheme, _, text = environ.get(name, "").strip().partition(" ")
        if scheme.lower() == "bearer":
            sent.append(text.strip())
    cookie = COOKIE_TOKEN.search(environ.get("HTTP_COOKIE", ""))
    return [*sent, cookie[1]] if cookie is not None else sent


def _too_many(wait_s: float) -> TooManyRequestsError:
    seconds = max(1, int(wait_s) + 1)
    return TooManyRequestsError(
        f"Too many requests. Logging in failed too often; try again in {seconds} seconds.",
        retry_after_s=seconds,
    )
