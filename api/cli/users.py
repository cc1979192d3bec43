"""`stretto users`: who may log in, and as what."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from .options import Place, as_json, place_options
from .tables import table

if TYPE_CHECKING:
    from ..accounts import Person

__all__ = ["users_group"]

from_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from the first line of stdin, for scripts."
)


@click.group("users")
def users_group() -> None:
    """Say who may log in, and as what; a running server knows at once."""


@users_group.command("list")
@as_json
@place_options
def list_command(place: Place, *, as_json: bool) -> None:
    """List the users."""
    from ..accounts import people

    with place.records() as records:
        found = people(records)
    if as_json:
        click.echo(json.dumps([_values(person) for person in found], indent=2))
        return
    rows = [[str(value or "-") for value in _values(person).values()] for person in found]
    click.echo(table(("username", "level", "first name", "last name", "last login"), rows))


@users_group.command("add")
@click.argument("username")
@click.option("--admin", is_flag=True, help="As an administrator.")
@click.option("--first-name", help="The first name.")
@click.option("--last-name", help="The last name.")
@from_stdin
@place_options
def add_command(
    place: Place,
    *,
    username: str,
    admin: bool,
    first_name: str | None,
    last_name: str | None,
    password_stdin: bool,
) -> None:
    """Make the user USERNAME, who may invoke and see the own history; asks for a password."""
    from ..accounts import add_user, form_of

    password = _password(read=password_stdin)
    form = form_of({
        "username": username, "new_password": password, "repeat_password": password,
        "first_name": first_name, "last_name": last_name, "admin": admin,
    })  # fmt: skip
    with place.records() as records:
        person = add_user(records, form)
    click.echo(f"made {person.username} ({_level(person)})")


@users_group.command("passwd")
@click.argument("username")
@from_stdin
@place_options
def passwd_command(place: Place, *, username: str, password_stdin: bool) -> None:
    """Set another password of USERNAME, whose tokens are revoked; makes the first administrator where there is none."""
    from ..accounts import DEFAULT_USER, change_user, first_administrator, form_of

    password = _password(read=password_stdin)
    with place.records() as records:
        if username == DEFAULT_USER:
            first_administrator(records, password)
        change_user(records, username, form_of({"new_password": password, "repeat_password": password}))
    click.echo(f"set the password of {username}; the tokens are revoked")


@users_group.command("admin")
@click.argument("username")
@click.option("--on/--off", default=True, show_default=True, help="An administrator, or a user like others.")
@place_options
def admin_command(place: Place, *, username: str, on: bool) -> None:
    """Make USERNAME an administrator, or no longer."""
    from ..accounts import change_user, form_of

    with place.records() as records:
        person = change_user(records, username, form_of({"admin": on}))
    click.echo(f"{person.username} is {_level(person)}")


@users_group.command("remove")
@click.argument("username")
@place_options
def remove_command(place: Place, *, username: str) -> None:
    """Remove USERNAME and the tokens; the history stays."""
    from ..accounts import remove_user

    with place.records() as records:
        remove_user(records, username)
    click.echo(f"removed {username}")


def _password(*, read: bool) -> str:
    if read:
        return sys.stdin.readline().rstrip("\r\n")
    asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return asked


def _values(person: Person) -> dict[str, str | None]:
    from ..envelope import iso_local

    return {
        "username": person.username,
        "level": _level(person),
        "first_name": person.first_name,
        "last_name": person.last_name,
        "last_login": None if person.last_login is None else iso_local(person.last_login),
    }


def _level(person: Person) -> str:
    return "admin" if person.admin else "user"
