"""Changes loaded models by weight files: LoRA and LyCORIS by their weights, inversions by new words."""

from __future__ import annotations

from collections.abc import Iterable

from stretto.host import Patcher, PatcherSpec, WeightKind, hookimpl

__all__ = ["register_patchers"]


@hookimpl
def register_patchers() -> Iterable[PatcherSpec]:
    """Offer LoRA, LyCORIS and textual inversions."""
    return [
        PatcherSpec(name="lora", title="LoRA, LoCon and DoRA, merged into the weights", build=_build_lora),
        PatcherSpec(name="lycoris", title="LoHa, LoKr and full differences, merged", build=_build_lycoris),
        PatcherSpec(name="inversion", title="Textual inversions: new words", build=_build_inversion),
    ]


def _build_lora() -> Patcher:
    from .merging import WeightPatcher

    return WeightPatcher(WeightKind.LORA)


def _build_lycoris() -> Patcher:
    from .merging import WeightPatcher

    return WeightPatcher(WeightKind.LYCORIS)


def _build_inversion() -> Patcher:
    from .words import WordPatcher

    return WordPatcher()
