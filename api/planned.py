"""A JSON body to a plan; what is wrong with its values and with their meaning is told in one answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from stretto.host.contracts.plan import Plan
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import Fault, InvalidRequestError, NotFoundError, UnsupportedError

from .inbox import ImageInbox
from .nodes import node_of, without_faulty
from .parse import parse_invocation

__all__ = ["plan_body"]

_LISTED = re.compile(r"(?P<front>nodes\[(?P<node>\d+)\]\.)?controlnets\[(?P<at>\d+)\](?P<rest>.*)")

# Without one of these, planning would blame what is right.
BASES = frozenset({"body", "checkpoint", "model", "model_type"})
LOAD_BEARING = frozenset({
    "control_image", "control_images", "controlnet", "controlnets", "image", "layers", "mask", "nodes", "prompt",
})  # fmt: skip
# What these name is there or not, whatever is drawn.
NAMES = frozenset({
    "inpainter", "inversion", "lora", "lycoris", "model", "multi_scheduler", "refiner", "scheduler", "vae",
})  # fmt: skip


def plan_body(
    payload: Mapping[str, object], images: ImageInbox, plan: Callable[[InvocationRequest], Plan]
) -> Plan:
    """Check a body, take in its images and plan it.

    Raises InvalidRequestError with every fault of values and, as far as the others allow it, of what
    they name and ask for together; and what `plan` raises.
    """
    try:
        try:
            request = parse_invocation(payload, images)
        except InvalidRequestError as error:
            raise InvalidRequestError([*error.faults, *_further(error, payload, images, plan)]) from error
        return plan(request)
    except InvalidRequestError as error:
        raise InvalidRequestError([_as_sent(fault, payload) for fault in error.faults]) from error


def _as_sent(fault: Fault, payload: Mapping[str, object]) -> Fault:
    """Call a ControlNet of a list as it was sent: `controlnet` takes one name, an object, or a list too."""
    found = _LISTED.fullmatch(fault.field)
    if found is None:
        return fault
    node, rest = found["node"], found["rest"]
    nodes = payload.get("nodes")
    where: object = payload
    if node is not None:
        where = nodes[int(node)] if isinstance(nodes, list) else None
    sent = where.get("controlnet") if isinstance(where, Mapping) and "controlnets" not in where else None
    if isinstance(sent, list):
        return replace(fault, field=f"{found['front'] or ''}controlnet[{found['at']}]{rest}")
    if isinstance(sent, dict):
        return replace(fault, field=f"{found['front'] or ''}controlnet{rest}")
    return fault


def _further(
    error: InvalidRequestError,
    payload: Mapping[str, object],
    images: ImageInbox,
    plan: Callable[[InvocationRequest], Plan],
) -> list[Fault]:
    """Find what planning has against the rest of a body that has faults."""
    nodes = without_faulty(payload.get("nodes"), error.faults)
    found = [fault for fault in error.faults if nodes is None or node_of(fault) is None]
    wrong = {_root(fault) for fault in found}
    if wrong & BASES:
        return []
    partly = not wrong.isdisjoint(LOAD_BEARING)
    rest = {key: value for key, value in payload.items() if key not in wrong}
    try:
        plan(parse_invocation(rest if nodes is None else {**rest, "nodes": nodes}, images))
    except InvalidRequestError as more:
        known = (fault for fault in more.faults if fault.field not in wrong)
        return [fault for fault in known if not partly or _root(fault) in NAMES]
    except NotFoundError as unknown:
        return [Fault(field="model", message=str(unknown))]
    except UnsupportedError:  # told when the rest is in order
        return []
    return []


def _root(fault: Fault) -> str:
    return fault.field.partition("[")[0].partition(".")[0]
