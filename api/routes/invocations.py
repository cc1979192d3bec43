"""Invoke, poll, stop and delete."""

from __future__ import annotations

from stretto.host.errors import NotFoundError

from ..fields import shown
from ..history import find, remove, since
from ..inbox import ImageInbox
from ..invocations import described, ticket
from ..planned import plan_body
from ..routing import Call, Data, Reply, Route

__all__ = ["ROUTES"]


def invoke(call: Call) -> Reply:
    """Check, plan and keep an invocation; it is durable when this answers."""
    services = call.services
    folders = services.folders
    inbox = ImageInbox(folders, services.host.settings, (folders.images, folders.inputs))
    plan = plan_body(call.body(), inbox, services.host.plan)
    return Data(ticket(services.host.submit(plan, call.user.id)))


def list_invocations(call: Call) -> Reply:
    """Give the caller's invocations since the server started, and those that it took over."""
    services = call.services
    rows = since(services.store.records, services.before, call.user.id)
    return Data([described(row, services.host.progress(row.uuid)) for row in rows])


def show_invocation(call: Call) -> Reply:
    """Say how far an invocation is."""
    services = call.services
    row = find(services.store.records, call.names["uuid"], call.user.id)
    return Data(described(row, services.host.progress(row.uuid)))


def stop_invocation(call: Call) -> Reply:
    """Stop the active invocation, or the one that `uuid` names in the body or the query."""
    services = call.services
    uuid = call.body().get("uuid") or call.params.get("uuid", [None])[-1]
    if uuid is None:
        services.host.stop()
        return Data(None)
    if not isinstance(uuid, str):
        raise NotFoundError(f"No invocation matching UUID {shown(uuid)}")
    find(services.store.records, uuid, call.user.id)
    services.host.stop(uuid)
    return Data(None)


def delete_invocation(call: Call) -> Reply:
    """Stop an invocation if it is not over, and delete its row and pictures."""
    services, uuid = call.services, call.names["uuid"]
    try:
        row = find(services.store.records, uuid, call.user.id)
    except NotFoundError as error:
        raise NotFoundError(f"No invocation with ID {uuid}") from error
    if row.finished is None:
        services.host.stop(uuid)
    remove(services.store.records, uuid, call.user.id)
    folders = services.folders
    for folder in (folders.images, folders.thumbnails, folders.intermediates):
        for picture in folder.glob(f"*{row.uuid}*.png"):
            picture.unlink(missing_ok=True)
    return Data(None)


ROUTES = (
    Route("POST", "/api/invoke", invoke),
    Route("GET", "/api/invocation", list_invocations),
    Route("POST", "/api/invocation/stop", stop_invocation),
    Route("GET", "/api/invocation/<uuid>", show_invocation),
    Route("DELETE", "/api/invocation/<uuid>", delete_invocation),
    Route("DELETE", "/api/invocation-history/<uuid>", delete_invocation),
)
