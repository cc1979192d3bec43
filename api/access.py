"""Who calls, and what a call needs: nothing, any user, or a permission that all or only administrators have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stretto.host.errors import AuthenticationError, ForbiddenError

__all__ = [
    "ANYBODY", "ANY_USER", "NO_AUTH", "Access", "User", "admins_may", "grant", "users_may",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who calls."""

    id: int
    username: str
    admin: bool

    @property
    def scope(self) -> int | None:
        """Give whose invocations the caller may look at and end: the own id, or None for everybody's."""
        return None if self.admin else self.id


# Without authentication every caller who is nobody in particular is this superuser.
NO_AUTH = User(id=0, username="noauth", admin=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a route needs; `action` and `entity` are the words of a refusal."""

    level: Literal["anybody", "user", "admin"]
    action: str = "access"
    entity: str = "this"


ANYBODY = Access(level="anybody")
ANY_USER = Access(level="user")


def users_may(action: str, entity: str) -> Access:
    """Give a permission that every user has."""
    return Access(level="user", action=action, entity=entity)


def admins_may(action: str, entity: str) -> Access:
    """Give a permission that administrators have."""
    return Access(level="admin", action=action, entity=entity)


def grant(needs: Access, user: User | None) -> None:
    """Let a caller pass, or raise AuthenticationError for a stranger and ForbiddenError for a user who may not."""
    if needs.level == "anybody":
        return
    if user is None:
        raise AuthenticationError("Invalid or no credentials supplied.")
    if needs.level == "admin" and not user.admin:
        raise ForbiddenError(f"User {user.username} is not authorized to {needs.action} on {needs.entity}.")
