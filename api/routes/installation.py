"""The data directory's folders: what they hold, and what is put into them and taken out."""

from __future__ import annotations

from dataclasses import dataclass

from stretto.host.errors import BadRequestError

from ..access import admins_may
from ..fields import checked, refuse
from ..installation import listed, overview, remove, take_in, use_folders
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    directory: str = ""
    create: bool = False


def show_installation(call: Call) -> Reply:
    """Give items, files, bytes and path of every folder."""
    return Data(overview(call.services.host))


def use_directories(call: Call) -> Reply:
    """Use folders that are elsewhere too (`directories`, by kind; made with `create`), and give all."""
    body = call.body()
    directories = body.get("directories") or {}
    if not isinstance(directories, dict):
        raise BadRequestError('directories: send an object, such as {"lora": "/path/of/a/folder"}')
    use_folders(call.services.folders, directories, create=_form(body).create)
    return Data(overview(call.services.host))


def list_directory(call: Call) -> Reply:
    """Give type, name and bytes of what is in a folder."""
    return Data(listed(call.services.folders, call.names["directory"]))


def upload_weights(call: Call) -> Reply:
    """Keep the field `file` of a multipart body in a folder."""
    return Data(take_in(call.services.folders, call.names["directory"], call.read()))


def move_directory(call: Call) -> Reply:
    """Use another folder too for a kind (`directory`, made with `create`); nothing is moved."""
    form = _form(call.body())
    try:
        use_folders(call.services.folders, {call.names["directory"]: form.directory}, create=form.create)
    except BadRequestError as error:
        raise BadRequestError(f"Couldn't find directory {form.directory} ({error})") from error
    return Data(None)


def remove_weights(call: Call) -> Reply:
    """Remove a file, or a model's folder."""
    remove(call.services.folders, call.names["directory"], call.names["file"])
    return Data(None)


def _form(body: dict[str, object]) -> _Form:
    given = {name: body[name] for name in ("directory", "create") if body.get(name) is not None}
    form, faults = checked(_Form, given)
    refuse(_Form, faults)
    return form or _Form()


READ, UPDATE = admins_may("read", "System"), admins_may("update", "System")
ROUTES = (
    Route("GET", "/api/installation", show_installation, READ),
    Route("POST", "/api/installation", use_directories, UPDATE),
    Route("GET", "/api/installation/<directory>", list_directory, READ),
    Route("POST", "/api/installation/<directory>", upload_weights, UPDATE),
    Route("POST", "/api/installation/<directory>/move", move_directory, UPDATE),
    Route("DELETE", "/api/installation/<directory>/<file>", remove_weights, UPDATE),
)
