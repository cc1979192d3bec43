"""What annotated_types says of a value, in words."""

from __future__ import annotations

from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf

__all__ = ["bounded", "counted"]


def bounded(word: str, bounds: tuple[Any, ...]) -> str:
    """Say what bounds leave of what `word` names: `a whole number from 8 to 64`, `a number above 0.0`."""
    found = {type(bound): bound for bound in bounds}
    step = f"{word} that is a multiple of {found[MultipleOf].multiple_of}" if MultipleOf in found else word
    said = _length(found) or _range(found)
    return f"{step} {said}" if said else step


def counted(bounds: tuple[Any, ...]) -> str:
    """Say how many items bounds leave in a list: `, at most 3 of them`."""
    found = {type(bound): bound for bound in bounds}
    said = [f"at least {found[MinLen].min_length}"] if MinLen in found else []
    said += [f"at most {found[MaxLen].max_length}"] if MaxLen in found else []
    return f", {' and '.join(said)} of them" if said else ""


def _length(found: dict[type, Any]) -> str:
    least = found[MinLen].min_length if MinLen in found else 0
    if MaxLen not in found:
        return f"of at least {least} characters" if least else ""
    most = found[MaxLen].max_length
    return f"of {least} to {most} characters" if least else f"of at most {most} characters"


def _range(found: dict[type, Any]) -> str:
    if Ge in found and Le in found:
        return f"from {found[Ge].ge} to {found[Le].le}"
    said = []
    if Ge in found or Gt in found:
        said.append(f"of at least {found[Ge].ge}" if Ge in found else f"above {found[Gt].gt}")
    if Le in found or Lt in found:
        said.append(f"of at most {found[Le].le}" if Le in found else f"below {found[Lt].lt}")
    return " and ".join(said)
