"""Changes of a loaded model for the time of a diffusion: each is entered here, and undone whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from ..contracts.models import ModelSpec, Patch
from ..contracts.protocols import Bench, LoadedModel, Patcher
from ..errors import WeightsError

__all__ = ["patched"]


@contextmanager
def patched(spec: ModelSpec, bench: Bench) -> Iterator[LoadedModel]:
    """Load the model of `spec` and change it by what the plan says of it; a weight of 0 changes nothing.

    Compiled engines do the work of its networks where the plan asks for them and there are any.
    The weights are those of before, to the bit, when the context ends. What is given says in
    `patches` what it is changed by, so that remembered text embeddings are told apart.
    """
    model = bench.model(spec)
    effective = tuple(patch for patch in bench.plan.patches_of(spec) if patch.weight)
    with ExitStack() as stack:
        for patch in effective:
            bench.tick(f"applying {patch.file.name or patch.file.path}", ticks=0)
            model = stack.enter_context(_patcher_of(patch, bench).applied(model, patch, bench.note))
        changed = replace(model, patches=effective) if effective else model
        stack.enter_context(bench.compiled(changed))
        yield changed


def _patcher_of(patch: Patch, bench: Bench) -> Patcher:
    offers = bench.host.offers("patchers")
    for offer in offers.values():
        patcher: Patcher = offer.build()
        if patcher.accepts(patch.file):
            return patcher
    raise WeightsError(
        f"no patcher reads {patch.file.path} ({patch.file.kind}); "
        f"patchers here: {', '.join(offers) or 'none, see `stretto plugins list`'}"
    )
