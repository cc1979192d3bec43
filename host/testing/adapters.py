"""Small random adapters of any model: LoRA under every trainer's names, LoHa, LoKr, DoRA, and learnt words.

Which layers they change is looked up in the model's own files, so they fit tiny models and whole ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .layout import original_unet

if TYPE_CHECKING:
    import torch

__all__ = ["LoraForm", "Naming", "make_inversion", "make_loha", "make_lokr", "make_lora", "model_layers"]

Naming = Literal["kohya", "sgm", "diffusers", "peft", "processor"]
Shape = tuple[int, ...]
# linear layers of attention and, with `convolutions`, those of the resnets
ATTENTION = re.compile(r"(attn[12]\.to_(q|k|v|out\.0)|self_attn\.[a-z_]+proj|mlp\.fc[12])$")
CONVOLUTIONS = re.compile(r"resnets\.\d+\.conv[12]$|downsamplers\.0\.conv$|upsamplers\.0\.conv$|conv_in$")
FACTOR = 4  # the side of LoKr's first matrix


@dataclass(frozen=True, slots=True)
class _Layer:
    part: str  # unet, text_encoder or text_encoder_2
    name: str  # dotted, as the library has it, without `text_model.`
    original: str  # the UNet's layers as Stability AI names them
    shape: Shape


def model_layers(
    model: Path, *, text: bool = False, convolutions: bool = False
) -> dict[tuple[str, str], Shape]:
    """Give the shapes of the weights that the adapters here change, by part and dotted name."""
    return {
        (layer.part, layer.name): layer.shape
        for layer in _layers(model, text=text, convolutions=convolutions)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraForm:
    """How a LoRA is written; `tucker` puts a core between the factors of convolutions, as LyCORIS may."""

    naming: Naming = "kohya"
    rank: int = 4
    alpha: float | None = None  # None: not said, which means the rank
    text: bool = False
    convolutions: bool = False
    dora: bool = False
    tucker: bool = False
    seed: int = 5


def make_lora(model: Path, out_file: Path, form: LoraForm) -> Path:
    """Write a LoRA of `model`."""
    draw = _drawer(form.seed)
    tensors: dict[str, torch.Tensor] = {}
    for layer in _layers(model, text=form.text, convolutions=form.convolutions):
        for factor, value in _lora_factors(layer.shape, form, draw).items():
            tensors[_name(layer, factor, form.naming)] = value
    return _written(tensors, out_file)


def _lora_factors(shape: Shape, form: LoraForm, draw: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
    height, width, *kernel = shape
    ones = [1] * len(kernel)
    has_core = form.tucker and bool(kernel) and kernel[0] > 1
    made = {
        "down": draw(form.rank, width, *(ones if has_core else kernel)),
        "up": draw(height, form.rank, *ones),
    }
    if has_core:
        made["mid"] = draw(form.rank, form.rank, *kernel)
    if form.dora:
        by_peft = (1, height, *ones) if kernel else (height,)
        shape_of_it = (height, 1, *ones) if form.naming in ("kohya", "sgm") else by_peft
        made["magnitude"] = draw(*shape_of_it).abs() + 0.5
    if form.alpha is not None:
        made["alpha"] = _scalar(form.alpha)
    return made


def make_loha(model: Path, out_file: Path, *, rank: int = 4, alpha: float = 4.0, seed: int = 6) -> Path:
    """Write a LoHa of `model` with LyCORIS' names, convolutions included."""

    def factors(layer: _Layer, draw: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
        height, width = layer.shape[0], prod(layer.shape[1:])
        made = {f"hada_w{side}_a": draw(height, rank) for side in (1, 2)}
        return made | {f"hada_w{side}_b": draw(rank, width) for side in (1, 2)} | {"alpha": _scalar(alpha)}

    return _lycoris(model, out_file, factors, seed)


def make_lokr(
    model: Path, out_file: Path, *, rank: int = 4, alpha: float = 4.0, whole: bool = False, seed: int = 7
) -> Path:
    """Write a LoKr of `model` with LyCORIS' names; with `whole` the second matrix is no product."""

    def factors(layer: _Layer, draw: Callable[..., torch.Tensor]) -> dict[str, torch.Tensor]:
        height, width, *kernel = layer.shape
        side = FACTOR if width % FACTOR == 0 else 1  # conv_in takes 4 channels, or 9
        made = {"lokr_w1": draw(FACTOR, side), "alpha": _scalar(alpha)}
        if whole:
            return made | {"lokr_w2": draw(height // FACTOR, width // side, *kernel)}
        right = draw(rank, width // side * prod(kernel))
        return made | {"lokr_w2_a": draw(height // FACTOR, rank), "lokr_w2_b": right}

    return _lycoris(model, out_file, factors, seed)


def make_inversion(
    out_file: Path, widths: tuple[int, ...], *, word: str | None = None, vectors: int = 1, seed: int = 8
) -> Path:
    """Write vectors of a word: `.pt` as A1111 does, `.bin` as diffusers, `.safetensors` as either.

    Two widths make an SDXL file (`clip_l`, `clip_g`). With a `word` the file says it, else its name does.
    """
    import torch

    draw = _drawer(seed)
    made = [draw(vectors, width) for width in widths]
    if out_file.suffix == ".safetensors":
        names = ("clip_l", "clip_g") if len(widths) > 1 else (word or "emb_params",)
        return _written(dict(zip(names, made, strict=True)), out_file)
    content: dict[str, Any] = {word or out_file.stem: made[0] if vectors > 1 else made[0][0]}
    if out_file.suffix == ".pt":
        content = {
            "string_to_token": {"*": 265},
            "string_to_param": {"*": made[0]},
            "name": word or out_file.stem,
            "step": 1,
            "sd_checkpoint": None,
        }
    out_file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, out_file)
    return out_file


def _layers(model: Path, *, text: bool, convolutions: bool) -> Iterator[_Layer]:
    import json

    config = json.loads((model / "unet" / "config.json").read_text(encoding="utf-8"))
    for key, shape in _shapes(model / "unet").items():
        name = key.removesuffix(".weight")
        if name == key or not (ATTENTION.search(name) or (convolutions and CONVOLUTIONS.search(name))):
            continue
        (renamed,) = original_unet({key: shape}, config)  # type: ignore[dict-item]  # it only renames
        yield _Layer("unet", name, renamed.removesuffix(".weight"), shape)
    for part in ("text_encoder", "text_encoder_2") if text else ():
        for key, shape in _shapes(model / part).items() if (model / part).is_dir() else ():
            name = key.removesuffix(".weight").removeprefix("text_model.")
            if key.endswith(".weight") and ATTENTION.search(name):
                yield _Layer(part, name, name, shape)


def _shapes(folder: Path) -> Mapping[str, Shape]:
    from safetensors import safe_open

    with safe_open(next(folder.glob("*.safetensors")), framework="pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping


def _name(layer: _Layer, factor: str, naming: Naming) -> str:
    if naming in ("kohya", "sgm"):
        return f"{_kohya(layer, sgm=naming == 'sgm')}.{_KOHYA.get(factor, factor)}"
    dotted = layer.name if layer.part == "unet" else f"text_model.{layer.name}"
    if naming == "processor" and "attn" in dotted and layer.part == "unet":
        head, _, leaf = dotted.removesuffix(".0").rpartition(".")
        return f"unet.{head}.processor.{leaf}_lora.{factor}.weight"
    words = _PEFT if naming == "peft" else _DIFFUSERS
    return f"{layer.part}.{dotted}.{words.get(factor, factor)}"


_KOHYA = {
    "down": "lora_down.weight",
    "up": "lora_up.weight",
    "mid": "lora_mid.weight",
    "magnitude": "dora_scale",
}
_PEFT = {"down": "lora_A.weight", "up": "lora_B.weight", "magnitude": "lora_magnitude_vector"}
_DIFFUSERS = {**_PEFT, "down": "lora.down.weight", "up": "lora.up.weight"}


def _kohya(layer: _Layer, *, sgm: bool = False) -> str:
    if layer.part == "unet":
        return "lora_unet_" + (layer.original if sgm else layer.name).replace(".", "_")
    which = "te2" if layer.part == "text_encoder_2" else ("te1" if sgm else "te")
    return f"lora_{which}_text_model_" + layer.name.replace(".", "_")


def _lycoris(
    model: Path,
    out_file: Path,
    factors: Callable[[_Layer, Callable[..., torch.Tensor]], dict[str, torch.Tensor]],
    seed: int,
) -> Path:
    draw = _drawer(seed)
    tensors = {
        f"{_kohya(layer)}.{factor}": value
        for layer in _layers(model, text=False, convolutions=True)
        for factor, value in factors(layer, draw).items()
    }
    return _written(tensors, out_file)


def _drawer(seed: int) -> Callable[..., torch.Tensor]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator) * 0.2


def _scalar(value: float) -> torch.Tensor:
    import torch

    return torch.tensor(float(value))


def _written(tensors: dict[str, torch.Tensor], out_file: Path) -> Path:
    from safetensors.torch import save_file

    out_file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, out_file)
    return out_file
