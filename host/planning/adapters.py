"""LoRA, LyCORIS and inversions of a request, found among the model folders and held against the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..contracts.models import Family, Patch, WeightFile, WeightKind
from ..contracts.protocols import HostView
from ..contracts.request import Adapter, InvocationRequest
from .draft import REFUSED

__all__ = ["resolve_patches"]

Blame = Callable[[str, str], None]
# LyCORIS is LoRA with other factors, and trainers' users put one where the other belongs.
LIKE_LORA = (WeightKind.LORA, WeightKind.LYCORIS)
SERVES = {
    WeightKind.LORA: LIKE_LORA,
    WeightKind.LYCORIS: LIKE_LORA,
    WeightKind.INVERSION: (WeightKind.INVERSION,),
}


def resolve_patches(
    request: InvocationRequest, host: HostView, family: Family | None, fault: Blame
) -> tuple[Patch, ...]:
    """Find every file that is named; `fault` hears of each that is not there, broken or not for `family`."""
    asked = {
        WeightKind.LORA: request.lora,
        WeightKind.LYCORIS: request.lycoris,
        WeightKind.INVERSION: request.inversion,
    }
    return tuple(
        patch
        for kind, adapters in asked.items()
        for patch in _resolved(kind, adapters, host, _Judge(family, fault))
    )


class _Judge:
    """Says what is wrong with a file for a model of one family."""

    def __init__(self, family: Family | None, fault: Blame) -> None:
        self._family = family
        self.fault = fault

    def passes(self, field: str, kind: WeightKind, file: WeightFile) -> bool:
        if file.kind not in SERVES[kind]:
            self.fault(
                field, f"'{file.name}' is of the kind '{file.kind}' ({file.path}); name a file of '{kind}'"
            )
            return False
        known = file.family is not None and self._family is not None
        if known and file.family is not self._family:
            self.fault(
                field,
                f"'{file.name}' is for {file.family}, and the model is {self._family}; leave it out, or name "
                f"a model of {file.family}",
            )
            return False
        return True


def _resolved(
    kind: WeightKind, adapters: tuple[Adapter, ...], host: HostView, judge: _Judge
) -> Iterator[Patch]:
    for position, adapter in enumerate(adapters):
        field = f"{kind}[{position}].model"
        if kind is WeightKind.INVERSION and adapter.weight != 1.0:
            judge.fault(
                f"{kind}[{position}].weight",
                "an inversion has no weight; weigh its word in the prompt, as in (word:0.8)",
            )
        try:
            file = host.resolve_model(adapter.model, kinds=(kind.value,))
        except REFUSED as error:
            judge.fault(field, str(error))
            continue
        if judge.passes(field, kind, file):
            yield Patch(kind=file.kind, file=file, weight=adapter.weight)
