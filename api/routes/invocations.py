"""Invoke, poll, stop and delete."""

from __future__ import annotations

from collections.abc import Mapping

from stretto.host.contracts.plan import Plan
from stretto.host.errors import (
    Fault,
    ForbiddenError,
    GoneError,
    InvalidRequestError,
    NotFoundError,
)

from ..access import users_may
from ..engine_builds import builds_of_user, described_build, find_build, forget_build
from ..fields import shown
from ..history import InvocationRow, active, deleted, find, remove, since
from ..idempotency import KEY, Key, digest_of
from ..inbox import ImageInbox
from ..invocations import described, ticket
from ..planned import plan_body
from ..problems import wants_problem
from ..routing import Call, Data, JsonReply, Reply, Route, Services
from ..store import plan_text
from ..stored import planner
from ..waiting import read_synchronous

__all__ = ["ROUTES"]

ENTITY = "DiffusionInvocation"


def invoke(call: Call) -> Reply:
    """Check, plan and keep an invocation; it is durable when this answers, and over with `synchronous`."""
    body = call.body()
    waits, faults = read_synchronous(body)
    text = call.header(KEY)
    if text is None:
        uuid = _submitted(call, body, faults)
    else:
        uuid = call.services.promises.once(
            Key(call.user.id, text), digest_of(body), lambda named: _submitted(call, body, faults, named)
        )
    said = _awaited(call.services, uuid) if waits else ticket(uuid)
    return Data(said, headers=(("Location", f"/api/invocation/{uuid}"),))


def _submitted(call: Call, body: Mapping[str, object], faults: list[Fault], named: str | None = None) -> str:
    plan = _planned(call, body, faults)
    return call.services.host.submit(plan, call.user.id, named=named).uuid


def plan_invocation(call: Call) -> Reply:
    """Check a body as `POST /api/invoke` does, and give the whole plan, or every fault; nothing is queued."""
    body = call.body()
    _, faults = read_synchronous(body)
    return JsonReply(plan_text(_planned(call, body, faults)))


def _planned(call: Call, body: Mapping[str, object], faults: list[Fault]) -> Plan:
    """Give the plan of a body; raises InvalidRequestError with its faults after those that are known."""
    services = call.services
    folders = services.folders
    inbox = ImageInbox(folders, services.host.settings, (folders.images, folders.inputs))
    try:
        plan = plan_body(body, inbox, planner(services.host, services.store.records, body))
    except InvalidRequestError as error:
        raise InvalidRequestError([*faults, *error.faults]) from error
    if faults:
        raise InvalidRequestError(faults)
    return plan


def _awaited(services: Services, uuid: str) -> dict[str, object]:
    row = services.waiting.row(services.store.records, uuid, services.host.settings.max_wait_s)
    return described(row, services.host.progress(uuid))


def list_invocations(call: Call) -> Reply:
    """Give the caller's invocations since the server started, those that it took over, and builds of engines."""
    services = call.services
    rows = since(services.store.records, services.before, call.user.id)
    drawn = [described(row, services.host.progress(row.uuid)) for row in rows]
    return Data([*drawn, *builds_of_user(services.host, call.user.id)])


def show_invocation(call: Call) -> Reply:
    """Say how far an invocation is."""
    services = call.services
    build = find_build(services.host, call.names["uuid"], call.user.scope)
    if build is not None:
        return Data(described_build(build, services.host.progress(build.uuid)))
    row = found(call, call.names["uuid"])
    return Data(described(row, services.host.progress(row.uuid)))


def found(call: Call, uuid: str) -> InvocationRow:
    """Give one of the caller's invocations; NotFoundError, or GoneError for who can read that it was deleted."""
    try:
        return find(call.services.store.records, uuid, call.user.scope)
    except NotFoundError as error:
        raise absent(call, uuid, str(error)) from error


def absent(call: Call, uuid: str, message: str) -> NotFoundError:
    """Give what to say of an invocation that is not here: `message`, or that it was deleted, to who can read that."""
    # the contract's clients know 404 alone
    if wants_problem(call.header("Accept") or "") and deleted(
        call.services.store.records, uuid, call.user.scope
    ):
        return GoneError(f"The invocation {uuid} was deleted")
    return NotFoundError(message)


def stop_invocation(call: Call) -> Reply:
    """Stop the active invocation, or the one that `uuid` names in the body or the query: one's own; admins anybody's."""
    services = call.services
    uuid = call.optional_body().get("uuid") or call.params.get("uuid", [None])[-1]
    if uuid is None:
        _stop_active(call)
        return Data(None)
    if not isinstance(uuid, str):
        raise NotFoundError(f"No invocation matching UUID {shown(uuid)}")
    if find_build(services.host, uuid, call.user.scope) is not None:
        services.host.builds.stop(uuid)
        return Data(None)
    find(services.store.records, uuid, call.user.scope)
    services.host.stop(uuid)
    return Data(None)


def _stop_active(call: Call) -> None:
    host = call.services.host
    if call.user.admin:
        host.stop()
        return
    row = active(call.services.store.records)
    if row is None:
        return
    if row.user_id != call.user.id:
        raise ForbiddenError(
            f"User {call.user.username} is not authorized to stop on {ENTITY}. The active one is another user's."
        )
    host.stop(row.uuid)


def delete_invocation(call: Call) -> Reply:
    """Stop an invocation if it is not over, and delete its row and pictures."""
    services, uuid = call.services, call.names["uuid"]
    if find_build(services.host, uuid, call.user.scope) is not None:
        forget_build(services.host, uuid)
        return Data(None)
    try:
        row = find(services.store.records, uuid, call.user.scope)
    except NotFoundError as error:
        raise absent(call, uuid, f"No invocation with ID {uuid}") from error
    if row.finished is None:
        services.host.stop(uuid)
    remove(services.store.records, uuid)
    folders = services.folders
    for folder in (folders.images, folders.thumbnails, folders.intermediates):
        for picture in folder.glob(f"*{row.uuid}*.png"):
            picture.unlink(missing_ok=True)
    return Data(None)


ROUTES = (
    Route("POST", "/api/invoke", invoke, users_may("create", ENTITY)),
    Route("POST", "/api/plan", plan_invocation, users_may("create", ENTITY)),
    Route("GET", "/api/invocation", list_invocations, users_may("read", ENTITY)),
    Route("POST", "/api/invocation/stop", stop_invocation),
    Route("GET", "/api/invocation/<uuid>", show_invocation, users_may("read", ENTITY)),
    Route("DELETE", "/api/invocation/<uuid>", delete_invocation, users_may("delete", ENTITY)),
    Route("DELETE", "/api/invocation-history/<uuid>", delete_invocation, users_may("delete", ENTITY)),
)
