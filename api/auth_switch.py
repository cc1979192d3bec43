"""Where authentication may be switched off while the server runs."""

from __future__ import annotations

from collections.abc import Mapping

from stretto.host.errors import StateConflictError
from stretto.host.settings import Settings

from .fields import checked
from .routing import Services

__all__ = ["refuse_unguarded"]


def refuse_unguarded(services: Services, body: Mapping[str, object]) -> None:
    """Raise StateConflictError where strangers on other machines would be let in."""
    if not services.guarded or "auth" not in body:
        return
    asked, _ = checked(Settings, {"auth": body["auth"]})
    if asked is not None and not asked.auth:
        raise StateConflictError(
            "auth: this server can be reached from other machines, so authentication cannot be switched off "
            "while it runs; start it again with --no-auth and --allow-remote-without-auth, or on 127.0.0.1"
        )
