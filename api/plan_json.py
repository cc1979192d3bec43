"""Stored plan JSON back into a plan: the inverse of `Plan.to_json()`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from stretto.host.contracts.plan import PLAN_VERSION, Plan
from stretto.host.errors import BadRequestError

__all__ = ["plan_from_json"]


def plan_from_json(stored: Mapping[str, Any]) -> Plan:
    """Read what `Plan.to_json()` gave, or its `resolved` part alone.

    Raises BadRequestError when a part is missing, is of another type, or is of another version.
    """
    from pydantic import ValidationError

    resolved = stored.get("resolved", stored)
    version = resolved.get("version") if isinstance(resolved, Mapping) else None
    if version != PLAN_VERSION:
        raise BadRequestError(
            f"The plan has version {version!r}; this host reads version {PLAN_VERSION}. Invoke it anew."
        )
    try:
        plan: Plan = _adapter().validate_python(resolved)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequestError(f"The plan cannot be read: {where}: {first['msg']}. Invoke it anew.") from error
    return plan


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Plan)
