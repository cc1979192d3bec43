"""Plans to draw once more: from a JSON file, or from the picture that was drawn by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host.errors import BadRequestError

if TYPE_CHECKING:
    from stretto.host.contracts.plan import Plan

__all__ = ["CHUNK", "plan_of_file", "plan_of_picture"]

CHUNK = "stretto:plan"
MAX_BYTES = 64 * 2**20  # of a plan; ours have some kilobytes


def plan_of_file(path: Path) -> Plan:
    """Read a plan as `invoke --dry-run` prints it, or within what `invoke --json` prints.

    Raises BadRequestError for anything else.
    """
    if path.stat().st_size > MAX_BYTES:
        raise BadRequestError(f"{path} has more than {MAX_BYTES} bytes, so it is no plan")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadRequestError(
            f"{path} is not text; for a picture that holds its plan, use --replay"
        ) from error
    return _plan(text, path)


def plan_of_picture(path: Path) -> Plan:
    """Read the plan in a PNG's text chunk; raises BadRequestError for a picture without one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=["PNG"]) as image:
            text = image.info.get(CHUNK)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise BadRequestError(f"{path} is not a PNG that can be read: {error}") from error
    if not isinstance(text, str):
        raise BadRequestError(
            f"{path} has no text chunk '{CHUNK}': it was not drawn here, or was saved again by another program"
        )
    return _plan(text, path)


def _plan(text: str, path: Path) -> Plan:
    from ..plan_json import plan_from_json

    try:
        stored: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"{path} holds no JSON: {error}") from error
    if isinstance(stored, dict) and isinstance(stored.get("plan"), dict):
        stored = stored["plan"]
    if not isinstance(stored, dict):
        raise BadRequestError(f"{path} holds no plan; give what `stretto invoke --dry-run` prints")
    return plan_from_json(stored)
