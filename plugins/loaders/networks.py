"""Makes networks of diffusers and transformers out of settings and tensors, without filling them twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import Precision, WeightsError

from .reading import blaming

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

__all__ = [
    "Target",
    "make_controlnet",
    "make_safety_checker",
    "make_text_encoder",
    "make_unet",
    "make_vae",
    "text_encoder_names",
]

SHOWN = 3
TEXT_MODEL = "text_model."
# Settings that say how often something is repeated; each repetition has tensors of its own.
COUNTS = ("layers_per_block", "num_hidden_layers", "transformer_layers_per_block")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where networks go: what they compute in, on which device; and whose file to blame."""

    precision: Precision
    device: str
    path: Path

    def dtype(self) -> torch.dtype:
        """Give torch's name of the precision."""
        import torch

        dtype: torch.dtype = getattr(torch, self.precision.value)
        return dtype


def make_unet(config: Mapping[str, Any], tensors: Tensors, target: Target) -> Any:
    """Make a UNet2DConditionModel."""
    from diffusers import UNet2DConditionModel

    _check_counts(config, tensors, target.path)
    return _filled(lambda: UNet2DConditionModel.from_config(dict(config)), tensors, target, "UNet")


def make_controlnet(config: Mapping[str, Any], tensors: Tensors, target: Target) -> Any:
    """Make a ControlNetModel."""
    from diffusers import ControlNetModel

    _check_counts(config, tensors, target.path)
    return _filled(lambda: ControlNetModel.from_config(dict(config)), tensors, target, "ControlNet")


def make_vae(config: Mapping[str, Any], tensors: Tensors, target: Target) -> Any:
    """Make an AutoencoderKL; in float32 if it overflows in float16 (`force_upcast`)."""
    from diffusers import AutoencoderKL

    if config.get("force_upcast") and target.precision is Precision.FLOAT16:
        target = Target(precision=Precision.FLOAT32, device=target.device, path=target.path)
    _check_counts(config, tensors, target.path)
    return _filled(lambda: AutoencoderKL.from_config(dict(config)), tensors, target, "VAE")


def make_text_encoder(config: Mapping[str, Any], tensors: Tensors, target: Target) -> Any:
    """Make the CLIP text model that `architectures` names; tensors are named without `text_model.`."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    classes = {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}
    name = (config.get("architectures") or ["CLIPTextModel"])[0]
    if name not in classes:
        raise WeightsError(
            f"{target.path} has a text encoder of the class {name}; known are {', '.join(classes)}"
        )
    settings = {key: value for key, value in config.items() if key not in {"torch_dtype", "dtype"}}
    with blaming(target.path):
        parsed = CLIPTextConfig(**settings)
    _check_counts(config, tensors, target.path)
    return _filled(lambda: classes[name](parsed), tensors, target, "text encoder")


def make_safety_checker(config: Mapping[str, Any], tensors: Tensors, target: Target) -> Any:
    """Make a StableDiffusionSafetyChecker, which looks at pictures by the tower of a CLIP model."""
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    settings = {key: value for key, value in config.items() if key not in {"torch_dtype", "dtype"}}
    with blaming(target.path):
        parsed = CLIPConfig(**settings)
    _check_counts(config.get("vision_config") or {}, tensors, target.path)
    return _filled(lambda: StableDiffusionSafetyChecker(parsed), tensors, target, "safety checker")


def text_encoder_names(tensors: Tensors, *, has_projection: bool) -> dict[str, torch.Tensor]:
    """Leave out a projection where the class has none: older files of CLIPTextModel may hold one."""
    return {key: value for key, value in tensors.items() if has_projection or key != "text_projection.weight"}


def _filled(make: Callable[[], Any], tensors: Tensors, target: Target, what: str) -> Any:
    """Make a network without storage, check that the tensors are exactly its own, and hand them in."""
    import torch
    from accelerate import init_empty_weights  # type: ignore[import-untyped]  # it ships no types

    with blaming(target.path):
        with init_empty_weights(include_buffers=False):
            network = make()
        # since transformers 5.6 only the class with a projection has the inner `text_model`
        own = {name.removeprefix(TEXT_MODEL): name for name in network.state_dict()}
        _check(network, own, tensors, what, target.path)
        dtype = target.dtype()
        # a copy of its own: else a file that is overwritten in place would end the process
        owned = {
            own[key]: value.to(
                target.device,
                dtype if value.is_floating_point() else None,
                copy=True,
                memory_format=torch.contiguous_format,
            )
            for key, value in tensors.items()
        }
        network.load_state_dict(owned, assign=True)
        network.to(target.device)
    return network.eval().requires_grad_(False)


def _check_counts(config: Mapping[str, Any], tensors: Tensors, path: Path) -> None:
    """Refuse settings that ask for more layers than there are tensors, before making them fills the memory."""
    for name in COUNTS:
        value = config.get(name, 1)
        for count in value if isinstance(value, list) else [value]:
            if isinstance(count, int) and count > len(tensors):
                raise WeightsError(
                    f"{path} has settings with {name} {count}, and only {len(tensors)} tensors; "
                    "put right settings beside it"
                )


def _check(network: Any, own: Mapping[str, str], tensors: Tensors, what: str, path: Path) -> None:
    missing = sorted(own.keys() - tensors.keys())
    if missing:
        raise WeightsError(f"{path} lacks {_some(missing)} of its {what}; download or convert it again")
    spare = sorted(tensors.keys() - own.keys())
    if spare:
        raise WeightsError(
            f"{path} has {_some(spare)} in its {what} that no {type(network).__name__} of its size has; "
            "if it is of another architecture, it needs a plugin that loads it"
        )
    state = network.state_dict()
    wrong = sorted(key for key, name in own.items() if state[name].shape != tensors[key].shape)
    if wrong:
        key = wrong[0]
        raise WeightsError(
            f"{path} has the tensor {key} of its {what} in the shape {list(tensors[key].shape)}, and its settings "
            f"ask for {list(state[own[key]].shape)}; put right settings beside it"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
