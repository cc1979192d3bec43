"""Calls of an engine of one size as CUDA graphs, one for each batch: captured at its second call, replayed after it.

A graph reads and writes memory of its own at every replay, so inputs are copied into it and outputs out of it.
Where a graph cannot be captured, the engine is called plainly from then on, and the log says why.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from stretto.host import EngineOpenError

__all__ = ["Graphs", "Replayed", "Tensors", "held"]

logger = logging.getLogger(__name__)
Tensors = Mapping[str, torch.Tensor]
Shapes = tuple[tuple[int, ...], ...]


def held(given: Tensors) -> dict[str, torch.Tensor]:
    """Give copies that stay where they are and can be written to, also outside of inference mode."""
    with torch.inference_mode(mode=False):
        return {name: tensor.clone() for name, tensor in given.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replayed:
    """One captured call: `replay` reads `inputs` and writes `outputs`, which lie where they lay when it was captured."""

    replay: Callable[[], None]
    inputs: Tensors
    outputs: tuple[torch.Tensor, ...]
    uses: object = None  # what must live as long

    def __call__(self, given: Tensors) -> tuple[torch.Tensor, ...]:
        """Give the outputs for other inputs of the same shapes, in memory of their own."""
        for name, tensor in given.items():
            self.inputs[name].copy_(tensor)
        self.replay()
        return tuple(output.clone() for output in self.outputs)


class Graphs:
    """The captured calls of one engine by their shapes; `capture` raises EngineOpenError where that cannot be.

    At most `most` are kept. Beyond, the longest unused one is let go where `settle` is given, which waits until
    nothing of it is at work; without, further batches are called plainly.
    """

    def __init__(
        self,
        name: str,
        capture: Callable[[Tensors], Replayed],
        *,
        most: int,
        settle: Callable[[], object] | None = None,
    ) -> None:
        self.given_up = False
        self._name = name
        self._capture = capture
        self._most = most
        self._settle = settle
        self._seen: set[Shapes] = set()
        self._captured: OrderedDict[Shapes, Replayed] = OrderedDict()

    def __call__(self, given: Tensors) -> tuple[torch.Tensor, ...] | None:
        """Give the outputs, or None for a call that is to be made plainly, as the first of its shapes is.

        What is made ready at a first call cannot be captured.
        """
        if self.given_up:
            return None
        shapes = tuple(tuple(tensor.shape) for tensor in given.values())
        if shapes not in self._seen:
            self._seen.add(shapes)
            return None
        if shapes not in self._captured and not self._taken_up(shapes, given):
            return None
        self._captured.move_to_end(shapes)
        return self._captured[shapes](given)

    def clear(self) -> None:
        """Let all go; idempotent."""
        self._captured.clear()

    def _taken_up(self, shapes: Shapes, given: Tensors) -> bool:
        while len(self._captured) >= self._most:
            if self._settle is None:
                return False
            self._settle()
            self._captured.popitem(last=False)
        try:
            self._captured[shapes] = self._capture(given)
        except EngineOpenError as error:
            self.given_up = True
            self.clear()
            logger.warning("%s is called without CUDA graphs from now on: %s", self._name, error)
            return False
        return True
