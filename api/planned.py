"""A JSON body to a plan; what is wrong with its values and with their meaning is told in one answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import Fault, InvalidRequestError, NotFoundError, UnsupportedError

from .inbox import ImageInbox
from .nodes import node_of, without_faulty
from .parse import parse_invocation

__all__ = ["plan_body"]

# Without one of these, planning would blame what is right.
LOAD_BEARING = frozenset({
    "body", "checkpoint", "control_image", "control_images", "controlnet", "controlnets", "image", "layers", "mask",
    "model", "model_type", "nodes", "prompt",
})  # fmt: skip


def plan_body(
    payload: Mapping[str, object], images: ImageInbox, plan: Callable[[InvocationRequest], Plan]
) -> Plan:
    """Check a body, take in its images and plan it.

    Raises InvalidRequestError with every fault of values and, as far as the others allow it, of what
    they name and ask for together; and what `plan` raises.
    """
    try:
        request = parse_invocation(payload, images)
    except InvalidRequestError as error:
        raise InvalidRequestError([*error.faults, *_further(error, payload, images, plan)]) from error
    return plan(request)


def _further(
    error: InvalidRequestError,
    payload: Mapping[str, object],
    images: ImageInbox,
    plan: Callable[[InvocationRequest], Plan],
) -> list[Fault]:
    """Find what planning has against the rest of a body that has faults."""
    nodes = without_faulty(payload.get("nodes"), error.faults)
    found = [fault for fault in error.faults if nodes is None or node_of(fault) is None]
    wrong = {fault.field.partition("[")[0].partition(".")[0] for fault in found}
    if wrong & LOAD_BEARING:
        return []
    rest = {key: value for key, value in payload.items() if key not in wrong}
    try:
        plan(parse_invocation(rest if nodes is None else {**rest, "nodes": nodes}, images))
    except InvalidRequestError as more:
        return [fault for fault in more.faults if fault.field not in wrong]
    except NotFoundError as unknown:
        return [Fault(field="model", message=str(unknown))]
    except UnsupportedError:  # told when the rest is in order
        return []
    return []
