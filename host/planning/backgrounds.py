"""What removes backgrounds: the first offer that needs no file, or whose file is in the model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..contracts.models import WeightKind
from ..contracts.plan import Node, Remover
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.specs import BackgroundRemoverSpec
from .files import fetched_by, find_file
from .masks import Voice

__all__ = ["pick_remover", "with_background"]


def with_background(node: Node, request: InvocationRequest, voice: Voice) -> Node:
    """Say what happens to a node's background: nothing, removed from the result, or the image's drawn anew."""
    node = replace(node, remove_background=request.remove_background)
    if not request.fill_background:
        return node
    if not request.remove_background:
        voice.fault("fill_background", "fills what remove_background leaves empty; set that too")
    elif node.image is None:
        voice.note("fill_background fills nothing without an image")
    elif node.mask is not None:
        voice.fault("fill_background", "makes a mask of the image's background; leave `mask` out")
    elif not node.prompt.strip():
        voice.fault("fill_background", "draws what the prompt says, and there is none")
    else:
        if node.strength < 1.0:
            voice.note("the removed background is drawn at strength 1: there is nothing left to start from")
        return replace(node, fill_background=True, outpaint=True, strength=1.0)
    return node


def pick_remover(host: HostView, request: InvocationRequest, fault: Callable[[str], None]) -> Remover | None:
    """Find the first remover that needs no file or has one, of those that the request wants, if it wants some.

    `fault` hears which file or which plugin would do when there is none.
    """
    folder = host.folders.model_folder(WeightKind.BACKGROUND.value)
    specs: list[BackgroundRemoverSpec] = list(host.offers("background_removers").values())
    specs = [spec for spec in specs if spec.wanted is not None and spec.wanted(host, request)] or specs
    if not specs:
        fault("no plugin here removes backgrounds; turn the plugin 'backgrounds' on in plugins.toml")
        return None
    for spec in specs:
        if spec.build is not None:
            return Remover(method=spec.name)
        file = find_file(folder, spec.files, WeightKind.BACKGROUND)
        if file is not None:
            return Remover(method=spec.name, weights=file)
    named = [spec for spec in specs if spec.files]
    if not named:
        fault("is done by no plugin here that says how; turn the plugin 'backgrounds' on in plugins.toml")
        return None
    files = ", ".join(name for spec in named for name in spec.files)
    fault(
        f"needs a network's weights; put one of {files} into {folder}, for instance by: "
        f"{fetched_by(folder, named[0].files[0], named[0].source)}",
    )
    return None
