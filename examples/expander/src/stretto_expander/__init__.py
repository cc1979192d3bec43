"""Adds words to prompts that ask for it: a medium and some details, drawn by the picture's own seed.

The words stand in the plan, so that history, the PNG and a replay have them.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le
from stretto.host import HostView, InvocationRequest, Node, Plan, hookimpl

__version__ = "1.0.0"
REQUIRES_STRETTO_API = ">=1.0,<2"

Style = Literal["none", "photo", "painting", "sketch"]
MEDIA: Mapping[Style, str] = {
    "photo": "a photograph",
    "painting": "an oil painting",
    "sketch": "a pencil sketch",
}
DETAILS: Mapping[Style, tuple[str, ...]] = {
    "photo": (
        "soft morning light",
        "shallow depth of field",
        "35 mm film",
        "after the rain",
        "seen from below",
    ),
    "painting": ("thick brush strokes", "warm glazes", "strong shadows", "muted earth colours", "gold leaf"),
    "sketch": ("cross-hatching", "on toned paper", "loose outlines", "smudged charcoal", "white highlights"),
}


@dataclass(frozen=True)
class Settings:
    """`[plugins.expander]` in plugins.toml."""

    longest: Annotated[int, Ge(1), Le(1000)] = 40  # words; longer prompts know what they want


@dataclass(frozen=True)
class Parameters:
    """`"plugins": {"expander": {...}}` in a request."""

    style: Style = "none"
    details: Annotated[int, Ge(0), Le(5)] = 2


def words_for(parameters: Parameters, seed: int) -> list[str]:
    """Give a medium and so many details, always the same ones for a seed."""
    if parameters.style == "none":
        return []
    drawn = random.Random(seed).sample(DETAILS[parameters.style], parameters.details)  # noqa: S311 - no secret
    return [MEDIA[parameters.style], *drawn]


def expanded(node: Node, words: list[str], longest: int) -> Node:
    """Give a node, and those that are drawn for it, with more words, where it has some but not too many."""
    children = tuple(expanded(child, words, longest) for child in node.children)
    if not 0 < len(node.prompt.split()) <= longest:
        return replace(node, children=children)
    return replace(node, children=children, prompt=", ".join([node.prompt, *words]))


@hookimpl(wrapper=True)
def build_plan(request: InvocationRequest, host: HostView) -> Generator[None, Plan | None, Plan | None]:
    """Change the plan that others have made of the request."""
    plan = yield
    parameters = host.plugin_parameters("expander", Parameters, request)
    words = words_for(parameters, plan.seed) if plan is not None else []
    if plan is None or not words:
        return plan
    longest = host.plugin_settings("expander", Settings).longest
    nodes = tuple(expanded(node, words, longest) for node in plan.nodes)
    if nodes == plan.nodes:
        return plan
    return replace(plan, nodes=nodes).with_note(f"expander: added {', '.join(words)}")
