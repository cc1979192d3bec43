"""Passwords into argon2id hashes and back into yes or no, in threads of their own: each takes 19 MiB for good.

The C library keeps what a thread once allocated, so that hashing in every thread of a server would add up.
"""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["MAX_PASSWORD", "generated", "hashed", "matches", "outdated"]

MAX_PASSWORD = 1024  # characters
GENERATED_BYTES = 15
# OWASP's second choice: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
MEMORY_KIB, ROUNDS, LANES = 19456, 2, 1
AT_ONCE = 2


def hashed(password: str) -> str:
    """Give the hash, with its salt and parameters, in the PHC string format; some 20 ms of one core."""
    return _threads().submit(_hasher().hash, password).result()


def matches(hash_: str | None, password: str) -> bool:
    """Say whether a password is the one of a hash; takes as long where there is none, so nobody learns who exists."""
    from argon2.exceptions import InvalidHashError, VerificationError

    known = hash_ or _nobodys()
    try:
        return _threads().submit(_hasher().verify, known, password[: MAX_PASSWORD + 1]).result() and bool(
            hash_
        )
    except (InvalidHashError, VerificationError):
        return False


def outdated(hash_: str) -> bool:
    """Say whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(hash_)


def generated() -> str:
    """Give a password of 120 random bits, in 20 characters."""
    return secrets.token_urlsafe(GENERATED_BYTES)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _nobodys() -> str:
    return hashed(secrets.token_hex())
