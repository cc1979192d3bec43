"""Tokens that stand for a user for 730 hours; the database holds only their hashes."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

from pony.orm import db_session

from .access import User
from .entities import Records

__all__ = ["LIFE_S", "Token", "issue", "owner", "revoke_all", "revoke_of"]

LIFE_S = 730 * 3600.0
TEXT = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as its owner gets to see it, once; times are Unix seconds."""

    id: int
    text: str
    user_id: int
    created: float

    @property
    def expires(self) -> float:
        """Give the time from which on it is nobody's."""
        return self.created + LIFE_S


def issue(records: Records, user_id: int) -> Token:
    """Make a token of a user, and forget those that have expired; in the caller's transaction."""
    now, text = time.time(), secrets.token_hex(16)
    records.token.select().filter(lambda token: token.expires <= now).delete(bulk=True)
    row = records.token(user_id=user_id, hash=_digest(text), created=now, expires=now + LIFE_S)
    row.flush()
    return Token(id=row.id, text=text, user_id=user_id, created=now)


def owner(records: Records, text: str) -> User | None:
    """Give the user of a token; None for one that is no token, expired or revoked."""
    if not TEXT.fullmatch(text):
        return None
    with db_session:
        rows = records.database.select(
            'SELECT u.id, u.username, u.admin FROM "token" t JOIN "user" u ON u.id = t.user_id '
            "WHERE t.hash = $hash AND t.expires > $now",
            {},
            {"hash": _digest(text), "now": time.time()},
        )
    return User(id=rows[0][0], username=rows[0][1], admin=bool(rows[0][2])) if rows else None


def revoke_of(records: Records, user_id: int) -> None:
    """Delete all tokens of a user; in the caller's transaction."""
    records.token.select(user_id=user_id).delete(bulk=True)


def revoke_all(records: Records) -> None:
    """Delete every token."""
    with db_session(immediate=True):
        records.token.select().delete(bulk=True)


def _digest(text: str) -> str:
    # 128 random bits need no salt and no slow hash
    return hashlib.sha256(text.encode()).hexdigest()
