"""A corner of the bench for one node: the job's own, with the seed and the number of pictures of that node."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contracts.acceleration import Build
from ..contracts.images import ImageRef
from ..contracts.models import ModelSpec
from ..contracts.plan import Node
from ..contracts.protocols import Bench, Frame, LoadedModel

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["at_node", "given", "put_down", "tidy"]


def at_node(bench: Bench, node: Node, *, once: bool = False) -> Bench:
    """Give a bench with the node's seed, and one picture a run with `once`; the same where nothing differs."""
    samples = 1 if once else bench.plan.samples
    if not node.seed_offset and samples == bench.plan.samples:
        return bench
    return _Desk(bench, seed=bench.plan.seed + node.seed_offset, samples=samples)


def given(node: Node, frame: Frame, bench: Bench) -> Node:
    """Give a node whose child was drawn just before that child's picture: as its image, or to a ControlNet."""
    if not node.children:
        return node
    (picture,) = frame.images
    ref = put_down(picture, "child", bench)
    controls = tuple(replace(one, image=ref) if one.of_child else one for one in node.controls)
    return replace(node, image=ref if node.image else None, controls=controls)


def put_down(picture: Image, name: str, bench: Bench) -> ImageRef:
    """Keep a picture in a file of this job's until the step is over, to be the image of what is drawn next.

    Nobody has checked it yet, so its name begins with a dot, and is never served.
    """
    path = bench.folders.intermediates / f".{bench.job}_{name}.png"
    picture.save(path, compress_level=1)
    return ImageRef(path=str(path), width=picture.width, height=picture.height, mode=picture.mode, sha256="")


def tidy(bench: Bench) -> None:
    """Throw away what was put down."""
    try:
        with os.scandir(bench.folders.intermediates) as files:
            ours = [file.path for file in files if file.name.startswith(f".{bench.job}_")]
    except FileNotFoundError:  # no folder, so nothing was put down
        return
    for path in ours:
        Path(path).unlink(missing_ok=True)


class _Desk:
    """A Bench whose plan draws other noise and another number of pictures; all else is the job's."""

    def __init__(self, bench: Bench, *, seed: int, samples: int) -> None:
        self._bench = bench
        self.plan = replace(bench.plan, seed=seed, samples=samples)
        self.job = bench.job
        self.device = bench.device
        self.precision = bench.precision
        self.folders = bench.folders
        self.host = bench.host
        self.ahead = bench.ahead

    def model(self, spec: ModelSpec) -> LoadedModel:
        """Load, or reuse, a model through the pool."""
        return self._bench.model(spec)

    def tick(self, task: str, *, ticks: int = 1, rate: float | None = None) -> None:
        """Report progress ticks done; raises CancelledError if the job was stopped."""
        self._bench.tick(task, ticks=ticks, rate=rate)

    def preview(self, images: Callable[[], Sequence[Image]]) -> None:
        """Save intermediates and report them with the next tick."""
        self._bench.preview(images)

    def note(self, text: str) -> None:
        """Write a line into the job's record."""
        self._bench.note(text)

    def cache(self, key: tuple[object, ...], make: Callable[[], Any]) -> Any:
        """Give what was made under `key` before, or make it (text embeddings, mostly)."""
        return self._bench.cache(key, make)

    def build(self, model: LoadedModel, build: Build, size_px: int) -> None:
        """Build an engine for windows of `size_px` pixels, unless it is there, and verify it where it can run."""
        self._bench.build(model, build, size_px)

    def compiled(self, model: LoadedModel) -> AbstractContextManager[None]:
        """Send calls of the model's networks to compiled engines where the plan asks for them, while it lasts."""
        return self._bench.compiled(model)
