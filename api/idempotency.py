"""`Idempotency-Key`: the same call again gives the first answer, after a restart and from many at once too.

A key promises the identifier of an invocation before there is one, durably; so whoever finds a promise
that was not kept, as the server died in between, keeps it.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pony.orm import db_session
from stretto.host.errors import BadRequestError, KeyReusedError, NotFoundError, StrettoError

from .entities import Records
from .fields import shown
from .history import deleted, find

__all__ = ["KEY", "Key", "Promises", "digest_of"]

KEY = "Idempotency-Key"
USABLE = re.compile(r"[\x21-\x7e]{1,255}")
KEPT_S = 7 * 86400.0
LOCKS = 64


def digest_of(body: Mapping[str, object]) -> str:
    """Give the SHA-256 of what a body says, whatever the order of its keys."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """One user's key; raises BadRequestError unless it is 1 to 255 visible ASCII characters."""

    user_id: int
    text: str

    def __post_init__(self) -> None:
        """Check the text."""
        if not USABLE.fullmatch(self.text):
            raise BadRequestError(
                f"{KEY}: {shown(self.text)} is not 1 to 255 visible ASCII characters; send a UUID, for instance"
            )


@dataclass(frozen=True, slots=True)
class Promises:
    """The keys of the last KEPT_S seconds; safe to use from several threads of one server."""

    records: Records
    _locks: tuple[threading.Lock, ...] = field(
        default_factory=lambda: tuple(threading.Lock() for _ in range(LOCKS))
    )

    def lock(self, key: Key) -> threading.Lock:
        """Give what is to be held from `promised` until the invocation is there."""
        return self._locks[hash(key) % LOCKS]

    def once(self, key: Key, digest: str, submit: Callable[[str], str]) -> str:
        """Give the invocation of a key, which `submit` makes under the identifier that it gets, unless it is there.

        What `submit` refuses frees the key. Raises KeyReusedError for another body.
        """
        with self.lock(key):
            uuid = self.promised(key, digest)
            if self.kept(uuid):
                return uuid
            try:
                return submit(uuid)
            except StrettoError:
                self.forget(key)
                raise

    def promised(self, key: Key, digest: str) -> str:
        """Give the invocation's identifier, a new one for a new key; KeyReusedError for another body."""
        database, now, new = self.records.database, time.time(), uuid.uuid4().hex
        row = {"user": key.user_id, "key": key.text, "digest": digest, "uuid": new}
        with db_session(immediate=True):
            database.execute("DELETE FROM idempotency WHERE created < $old", {}, {"old": now - KEPT_S})
            found = database.select(
                "SELECT digest, uuid FROM idempotency WHERE user_id = $user AND key = $key", {}, row
            )
            if not found:
                database.execute(
                    "INSERT INTO idempotency (user_id, key, digest, uuid, created) "
                    "VALUES ($user, $key, $digest, $uuid, $now)",
                    {},
                    {**row, "now": now},
                )
                return new
        if found[0][0] != digest:
            raise KeyReusedError(
                f"The {KEY} {shown(key.text)} was sent with another body before; send a new key with a new body"
            )
        return str(found[0][1])

    def kept(self, promise: str) -> bool:
        """Say whether the invocation is there, or was and is deleted."""
        try:
            find(self.records, promise, None)
        except NotFoundError:
            return deleted(self.records, promise, None)
        return True

    def forget(self, key: Key) -> None:
        """Free a key whose call was refused, so that it may be sent again."""
        with db_session(immediate=True):
            self.records.database.execute(
                "DELETE FROM idempotency WHERE user_id = $user AND key = $key",
                {},
                {"user": key.user_id, "key": key.text},
            )
