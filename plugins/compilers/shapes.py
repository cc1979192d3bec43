"""Shapes of a network's inputs where the lengths of its named axes are known, and their ranges in a profile."""

from __future__ import annotations

import re
from collections.abc import Mapping

from stretto.host import Network, Port, Profile

__all__ = ["is_dynamic", "is_one_size", "ranges", "shape_at"]

_NAMED = re.compile(r"([a-z_]+)(?:([*/])(\d+))?")


def shape_at(port: Port, lengths: Mapping[str, int]) -> tuple[int, ...]:
    """Give a port's shape where the named axes have these lengths; halves are rounded up, as convolutions do."""
    return tuple(_length(word, lengths) if isinstance(word, str) else word for word in port.shape)


def is_dynamic(port: Port, profile: Profile) -> bool:
    """Say whether a port's shape differs over the profile."""
    return any(isinstance(word, str) and not profile[_parts(word)[0]].static for word in port.shape)


def is_one_size(profile: Profile) -> bool:
    """Say whether nothing but the batch has more than one length, so that CUDA graphs can be captured."""
    return all(span.static for name, span in profile.items() if name != "batch")


def ranges(network: Network, profile: Profile) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Give (least, tuned for, largest) shapes of every input that has a named axis."""
    ends = [{name: getattr(span, end) for name, span in profile.items()} for end in ("min", "opt", "max")]
    return {
        port.name: tuple(shape_at(port, lengths) for lengths in ends)
        for port in network.inputs
        if any(isinstance(word, str) for word in port.shape)
    }


def _length(word: str, lengths: Mapping[str, int]) -> int:
    name, sign, factor = _parts(word)
    if sign == "*":
        return lengths[name] * factor
    return -(-lengths[name] // factor) if sign == "/" else lengths[name]


def _parts(word: str) -> tuple[str, str | None, int]:
    found = _NAMED.fullmatch(word)
    if found is None:
        raise ValueError(f"'{word}' is no axis")
    return found[1], found[2], int(found[3] or 1)
