"""Users: made, changed, removed, listed, and known by their passwords."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import MaxLen
from pony.orm import db_session
from stretto.host.errors import AuthenticationError, BadRequestError, NotFoundError

from .access import NO_AUTH
from .entities import Records
from .fields import checked, refuse
from .passwords import MAX_PASSWORD, generated, hashed, matches, outdated
from .tokens import Token, issue, revoke_of

__all__ = [
    "DEFAULT_USER", "Person", "UserForm", "add_user", "change_user", "first_administrator", "form_of",
    "log_in", "people", "remove_user",
]  # fmt: skip

DEFAULT_USER = "enfugue"
USERNAME = re.compile(r"[a-zA-Z0-9_]{1,64}", re.ASCII)
Name = Annotated[str, MaxLen(255)]
Password = Annotated[str, MaxLen(MAX_PASSWORD)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserForm:
    """What a caller says about a user; None is left as it is, an empty name is no name."""

    username: Name | None = None
    new_password: Password | None = None
    repeat_password: Password | None = None
    first_name: Name | None = None
    last_name: Name | None = None
    admin: bool | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A user without the password; `last_login` in Unix seconds."""

    id: int
    username: str
    first_name: str | None
    last_name: str | None
    admin: bool
    last_login: float | None


def form_of(body: Mapping[str, object]) -> UserForm:
    """Check a JSON body; unknown keys are left out. Raises InvalidRequestError."""
    names = UserForm.__dataclass_fields__
    given = {name: body[name] for name in names if name in body and body[name] is not None}
    given |= {name: "" for name in ("first_name", "last_name") if name in body and body[name] is None}
    form, faults = checked(UserForm, given)
    refuse(UserForm, faults)
    assert form is not None  # noqa: S101  # `refuse` raised otherwise
    return form


def add_user(records: Records, form: UserForm) -> Person:
    """Make a user; raises BadRequestError in the contract's words."""
    if not form.username:
        raise BadRequestError("Username is required.")
    if not USERNAME.fullmatch(form.username):
        raise BadRequestError(
            f"The username {form.username!r} does not fit; it takes 1 to 64 letters a-z, digits and _."
        )
    with db_session:
        _refuse_known(records, form.username)
    if not form.new_password:
        raise BadRequestError("Password is required.")
    if form.new_password != form.repeat_password:
        raise BadRequestError("Passwords do not match.")
    password = hashed(form.new_password)
    with db_session(immediate=True):
        _refuse_known(records, form.username)
        row = records.user(
            username=form.username,
            password=password,
            first_name=form.first_name or None,
            last_name=form.last_name or None,
            admin=bool(form.admin),
        )
        row.flush()
        return _person(row)


def change_user(records: Records, username: str, form: UserForm) -> Person:
    """Change what the form names; another password revokes every token of the user.

    Passwords are left alone unless both are there. Raises NotFoundError and BadRequestError.
    """
    with db_session:
        _found(records, username)
    password = _other_password(form)
    with db_session(immediate=True):
        row = _found(records, username)
        if form.admin is False and _is_fixed(row):
            raise BadRequestError("Cannot demote default user.")
        if password is not None and row.id == NO_AUTH.id:
            raise BadRequestError("The user noauth is everybody without authentication; it has no password.")
        if password is not None:
            row.password = password
            revoke_of(records, row.id)
        for name in ("first_name", "last_name"):
            if (value := getattr(form, name)) is not None:
                setattr(row, name, value or None)
        if form.admin is not None:
            row.admin = form.admin
        return _person(row)


def remove_user(records: Records, username: str) -> None:
    """Delete a user with the tokens; the history stays. Raises NotFoundError and BadRequestError."""
    with db_session(immediate=True):
        row = _found(records, username)
        if _is_fixed(row):
            raise BadRequestError("Cannot delete default user.")
        revoke_of(records, row.id)
        row.delete()


def log_in(records: Records, username: str, password: str) -> Token:
    """Give a token for a name and its password; raises AuthenticationError, the same for both being wrong."""
    with db_session:
        row = _row(records, username)
        known = row.password if row is not None and row.password else None
    if not matches(known, password):
        raise AuthenticationError("Incorrect username or password.")
    assert known is not None  # noqa: S101  # nothing matches no hash
    renewed = hashed(password) if outdated(known) else known
    with db_session(immediate=True):
        row = _row(records, username)
        if row is None or row.password != known:  # changed or removed in these milliseconds
            raise AuthenticationError("Incorrect username or password.")
        row.password, row.last_login = renewed, time.time()
        return issue(records, row.id)


def people(records: Records) -> list[Person]:
    """Give every user but noauth, oldest first."""
    with db_session:
        return [
            _person(row) for row in records.user.select().order_by(records.user.id) if row.id != NO_AUTH.id
        ]


def first_administrator(records: Records, password: str | None) -> str | None:
    """Make the default user where no administrator is, with `password` or a generated one, which is given back."""
    if any(person.admin or person.username == DEFAULT_USER for person in people(records)):
        return None
    made = None if password else generated()
    secret = password or made
    form = UserForm(
        username=DEFAULT_USER, new_password=secret, repeat_password=secret,
        first_name="Default", last_name="User", admin=True,
    )  # fmt: skip
    add_user(records, form)
    return made


def _other_password(form: UserForm) -> str | None:
    if form.new_password is None or form.repeat_password is None:
        return None
    if form.new_password != form.repeat_password:
        raise BadRequestError("Passwords do not match.")
    if not form.new_password:
        raise BadRequestError("Password is required.")
    return hashed(form.new_password)


def _is_fixed(row: Any) -> bool:
    return bool(row.id == NO_AUTH.id or row.username == DEFAULT_USER)


def _refuse_known(records: Records, username: str) -> None:
    if _row(records, username) is not None:
        raise BadRequestError(f"User {username} already exists.")


def _found(records: Records, username: str) -> Any:
    row = _row(records, username)
    if row is None:
        raise NotFoundError(f"No user named {username}")
    return row


def _row(records: Records, username: str) -> Any:
    return records.user.get_by_sql(
        'SELECT * FROM "user" WHERE LOWER("username") = $name', {}, {"name": username.lower()}
    )


def _person(row: Any) -> Person:
    return Person(row.id, row.username, row.first_name, row.last_name, row.admin, row.last_login)
