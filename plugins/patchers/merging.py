"""Changes a model's weights by LoRA and LyCORIS files, and afterwards puts back what was there before."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import Family, LoadedModel, Patch, WeightFile, WeightKind, WeightsError

from .beside import fits_beside, merge_pending, stand_beside
from .deltas import FORMS, changed
from .names import Part, layers_of, split_name
from .reading import read_metadata, read_values, tensors_in
from .swapping import Swaps

if TYPE_CHECKING:
    import torch

    Factors = Mapping[str, torch.Tensor]
    Groups = dict[tuple[Part, str], dict[str, torch.Tensor]]

__all__ = ["WeightPatcher"]

# channels of the text that cross-attention reads
CONTEXTS = {768: Family.SD1, 1024: Family.SD2, 2048: Family.SDXL, 1280: Family.SDXL_REFINER}
INPUTS = ("down", "hada_w1_b")  # factors whose second side is the layer's input
SHOWN = 3  # layers named in a note


@dataclass(frozen=True, slots=True)
class WeightPatcher:
    """Merges files of one kind; the other LoRA-like kinds are merged alike."""

    kind: WeightKind

    def accepts(self, file: WeightFile) -> bool:
        """Say whether `file` is of this patcher's kind."""
        return file.kind is self.kind

    @contextmanager
    def applied(self, model: LoadedModel, patch: Patch, note: Callable[[str], None]) -> Iterator[LoadedModel]:
        """Merge, or stand beside large layers; afterwards every weight is what it was.

        Raises WeightsError when the file fits no layer of `model`, or a layer of another shape.
        """
        groups = _read(patch.file, note)
        layers = layers_of(model, groups)
        fitting = {place: factors for place, factors in groups.items() if place in layers}
        if not fitting:
            raise _misfit(patch.file, model, groups, "it fits no layer")
        absent = [layer for part, layer in groups if (part, layer) not in layers]
        _tell(f"layers of '{patch.file.name or patch.file.path}' are not in the model", absent, note)
        weights_at = next(model.unet.parameters()).device
        # of a network that is offloaded in groups diffusers says where it computes
        computes_at = getattr(model.unet, "device", weights_at)
        with ExitStack() as undo:
            swaps = Swaps.on(weights_at, undo)
            for place, factors in fitting.items():
                try:
                    if computes_at.type == "cpu" and fits_beside(layers[place], factors):
                        for_good = place[0] != "unet"
                        stand_beside(layers[place], factors, patch.weight, undo, for_good=for_good)
                    else:
                        _merge(layers[place], factors, patch.weight, swaps)
                except ValueError as error:
                    why = f"its layer '{place[1]}' does not fit: {error}"
                    raise _misfit(patch.file, model, groups, why) from error
            yield model


def _merge(layer: Any, factors: Factors, strength: float, swaps: Swaps) -> None:
    """Change a layer until `swaps` are undone; raises ValueError for factors of another shape."""
    from torch import no_grad

    merge_pending(layer)
    ready = {name: value.to(layer.weight.device).float() for name, value in factors.items()}
    with no_grad():
        if any(form <= ready.keys() for form in FORMS):
            swaps.write(layer.weight, changed(layer.weight, ready, strength))
        if "diff_b" in ready:
            if layer.bias is None or layer.bias.shape != ready["diff_b"].shape:
                raise ValueError("it changes a bias that the layer has not")
            swaps.write(layer.bias, layer.bias + strength * ready["diff_b"])


def _read(file: WeightFile, note: Callable[[str], None]) -> Groups:
    """Read a file's factors by layer; raises WeightsError when it holds none, or half of some."""
    path = Path(file.path)
    groups: Groups = {}
    strange: list[str] = []
    for name, tensor in tensors_in(read_values(path)).items():
        found = split_name(name)
        if found is None:
            strange.append(name)
        else:
            part, layer, factor = found
            groups.setdefault((part, layer), {})[factor] = tensor
    halves = [place for place, factors in groups.items() if not _is_whole(factors)]
    if not groups or (strange and halves):
        raise WeightsError(
            f"{path} holds no LoRA or LyCORIS that is known here: its tensor '{(strange or ['none'])[0]}' is "
            "of no known form; known are LoRA, LoCon, LoHa, LoKr, DoRA and full differences"
        )
    if halves:
        only = ", ".join(sorted(groups[halves[0]]))
        raise WeightsError(
            f"{path} is not whole: its layer '{halves[0][1]}' has only {only}; download it again"
        )
    _tell(f"tensors of '{file.name or path}' are of no form that is known here", strange, note)
    _add_alphas(groups, _metadata(path))
    return groups


def _is_whole(factors: Mapping[str, torch.Tensor]) -> bool:
    return "diff_b" in factors or any(form <= factors.keys() for form in FORMS)


def _metadata(path: Path) -> Mapping[str, Any]:
    """Read what diffusers writes beside an adapter's tensors: `unet.lora_alpha` and such."""
    text = read_metadata(path).get("lora_adapter_metadata", "{}")
    try:
        stated = json.loads(text)
    except ValueError as error:
        raise WeightsError(
            f"{path} has a lora_adapter_metadata that is not JSON; download it again"
        ) from error
    return stated if isinstance(stated, dict) else {}


def _add_alphas(groups: Groups, stated: Mapping[str, Any]) -> None:
    """Give layers the alphas that the metadata tells, which the tensors of diffusers' files leave out."""
    for (part, layer), factors in groups.items():
        alpha = stated.get(f"{part}.lora_alpha")
        if alpha is None or "alpha" in factors or "down" not in factors:
            continue
        for pattern, value in (stated.get(f"{part}.alpha_pattern") or {}).items():
            if f"_{layer}".endswith("_" + str(pattern).replace(".", "_")):
                alpha = value
        if stated.get(f"{part}.use_rslora"):  # alpha counts against the rank's root
            alpha = alpha * math.sqrt(factors["down"].shape[0])
        factors["alpha"] = factors["down"].new_tensor(float(alpha))


def _tell(what: str, names: list[str], note: Callable[[str], None]) -> None:
    if names:
        more = ", ..." if len(names) > SHOWN else ""
        note(f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}")


def _misfit(file: WeightFile, model: LoadedModel, groups: Groups, why: str) -> WeightsError:
    base = model.spec.weights
    called = f"'{base.name or base.path}' ({base.family})"
    return WeightsError(
        f"{file.path} cannot change the model {called}: {why}. It is for {_made_for(file, groups)}; "
        "name such a model, or leave it out"
    )


def _made_for(file: WeightFile, groups: Groups) -> str:
    """Say which family a file was trained on: by its header, its layers' names, or the text it reads."""
    if file.family is not None:
        return str(file.family)
    if any(part == "text_encoder_2" for part, _ in groups):
        return str(Family.SDXL)
    for (part, layer), factors in groups.items():
        if part == "unet" and re.search(r"attn2_to_[kv]$", layer):
            inputs = next((factors[name].shape[1] for name in INPUTS if name in factors), None)
            if inputs is not None:
                return str(CONTEXTS.get(inputs, f"a model whose cross-attention reads {inputs} channels"))
    if any(part == "unet" for part, _ in groups):
        return "another UNet"
    return "another text encoder"
