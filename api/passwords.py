"""Passwords into argon2id hashes and back into yes or no; a bounded number at a time, as each takes 19 MiB."""

from __future__ import annotations

import secrets
from functools import cache
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["MAX_PASSWORD", "generated", "hashed", "matches", "outdated"]

MAX_PASSWORD = 1024  # characters
GENERATED_BYTES = 15
# OWASP's second choice: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
MEMORY_KIB, ROUNDS, LANES = 19456, 2, 1
AT_ONCE = 2

_room = BoundedSemaphore(AT_ONCE)


def hashed(password: str) -> str:
    """Give the hash, with its salt and parameters, in the PHC string format; some 20 ms of one core."""
    with _room:
        return _hasher().hash(password)


def matches(hash_: str | None, password: str) -> bool:
    """Say whether a password is the one of a hash; takes as long where there is none, so nobody learns who exists."""
    from argon2.exceptions import InvalidHashError, VerificationError

    with _room:
        try:
            return _hasher().verify(hash_ or _nobodys(), password[: MAX_PASSWORD + 1]) and hash_ is not None
        except (InvalidHashError, VerificationError):
            return False


def outdated(hash_: str) -> bool:
    """Say whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(hash_)


def generated() -> str:
    """Give a password of 120 random bits, in 20 characters."""
    return secrets.token_urlsafe(GENERATED_BYTES)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _nobodys() -> str:
    return _hasher().hash(secrets.token_hex())
