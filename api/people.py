"""Users as the API shows them: a page of the collection, with what is included."""

from __future__ import annotations

from typing import Any

from pony.orm import db_session

from .accounts import Person
from .entities import Records
from .envelope import iso_local, json_text
from .include import Included, Relation
from .listing import Column, Listing

__all__ = ["USER", "USER_COLUMNS", "people_listed", "person_object"]

USER_COLUMNS = {
    "first_name": Column(sql="first_name", kind="text"),
    "id": Column(sql="id", kind="integer"),
    "last_login": Column(sql="last_login", kind="time"),
    "last_name": Column(sql="last_name", kind="text"),
    "username": Column(sql="username", kind="text"),
}
# tokens are no relation here: nobody gets to see them
USER = Relation(
    entity="User",
    relations={
        "permission_groups": Relation(
            entity="UserPermissionGroup", relations={"group": Relation(entity="PermissionGroup")}
        ),
        "permissions": Relation(entity="UserPermission"),
    },
)
ADMINS = {"id": 1, "label": "admin"}


def people_listed(records: Records, listing: Listing, included: Included, *, noauth: bool) -> tuple[str, int]:
    """Give a page of users as a JSON list, and the number of all that match; `noauth` is one of them or not."""
    where = f"WHERE id >= {0 if noauth else 1}{listing.where}"
    values = {**listing.values, "limit": listing.limit, "offset": listing.offset}
    with db_session:
        rows = records.database.select(
            'SELECT id, username, first_name, last_name, admin, last_login FROM "user" '  # noqa: S608  # only Column.sql
            f"{where} {listing.order or 'ORDER BY id'} LIMIT $limit OFFSET $offset",
            {},
            values,
        )
        count = records.database.select(f'SELECT COUNT(*) FROM "user" {where}', {}, values)[0]  # noqa: S608  # the same
    found = [Person(row[0], row[1], row[2], row[3], bool(row[4]), row[5]) for row in rows]
    return json_text([person_object(person, included) for person in found]), int(count)


def person_object(person: Person, included: Included) -> dict[str, Any]:
    """Give a user in the contract's shape."""
    found: dict[str, Any] = {
        "type": "User",
        "attributes": {
            "first_name": person.first_name,
            "id": person.id,
            "last_login": None if person.last_login is None else iso_local(person.last_login),
            "last_name": person.last_name,
            "username": person.username,
        },
    }
    if included:
        found["include"] = {name: _related(name, person, included[name]) for name in included}
    return found


def _related(name: str, person: Person, included: Included) -> list[dict[str, Any]]:
    if name == "permissions" or not person.admin:  # users have none of their own, only by their group
        return []
    member: dict[str, Any] = {
        "type": "UserPermissionGroup",
        "attributes": {"group_id": ADMINS["id"], "user_id": person.id},
    }
    if included:
        member["include"] = {"group": [{"type": "PermissionGroup", "attributes": ADMINS}]}
    return [member]
