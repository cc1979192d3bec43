"""What a patcher promises: it changes what the model gives, and whatever happens it puts all back to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contracts.models import Family, Patch, WeightFile, WeightKind
from ...contracts.protocols import LoadedModel, Patcher
from ...contracts.specs import PatcherSpec
from .every_kind import built_twice, raises_ours
from .given import Given, broken_file, weights_at
from .loaders import accepted_kinds, check_accepts
from .report import BreachError, Checks
from .samples import PATCHES, sample_of
from .supplies import Supplies

if TYPE_CHECKING:
    import torch

__all__ = ["check_patcher"]


def check_patcher(spec: PatcherSpec, checks: Checks, given: Given, supplies: Supplies) -> None:
    """Check what it takes; then apply a tiny file of each kind that it does, or those that were given."""
    patcher = built_twice(checks, spec.build)
    if (
        patcher is None
        or checks.run("it takes files by what they say", partial(check_accepts, patcher)) is None
    ):
        return
    files = [weights_at(path, WeightKind.LORA) for path in given.files.values()]
    taken = [(file.name or Path(file.path).name, file) for file in files if patcher.accepts(file)]
    taken = taken or list(_samples(patcher, supplies))
    if not taken:
        checks.skip(("it changes the model",), "needs a file that it takes; give files={NAME: a tiny one}")
    for name, file in taken:
        work = _Work(patcher, file, supplies.loaded(file.family or Family.SD1))
        checks.run(f"{name} changes the model, on the CPU", partial(_check_changes, work))
        checks.run(
            f"{name} leaves the model as it was, bit by bit", partial(_check_restores, work, fails=False)
        )
        checks.run(f"{name} does so after an error, too", partial(_check_restores, work, fails=True))
        checks.run(f"{name} twice, one within the other, is undone", partial(_check_nested, work))
    for kind in accepted_kinds(patcher, PATCHES, supplies):
        broken = broken_file(supplies.root, kind, "broken.safetensors")
        work = _Work(patcher, broken, supplies.loaded(Family.SD1))
        checks.run(f"errors are ours: {kind}", partial(raises_ours, work.enter, "a file that is no weights"))


def _samples(patcher: Patcher, supplies: Supplies) -> Iterator[tuple[str, WeightFile]]:
    for kind in accepted_kinds(patcher, PATCHES, supplies):
        file = sample_of(kind, supplies)
        if patcher.accepts(file):
            yield f"a {kind}", file


class _OwnError(Exception):
    """Raised within a patched model, on purpose."""


@dataclass(frozen=True, slots=True)
class _Work:
    patcher: Patcher
    file: WeightFile
    model: LoadedModel

    def applied(self, weight: float = 1.0) -> Any:
        patch = Patch(kind=self.file.kind, file=self.file, weight=weight)
        return self.patcher.applied(self.model, patch, lambda _note: None)

    def enter(self) -> None:
        with self.applied():
            pass


@dataclass(frozen=True, slots=True)
class _State:
    """What a model is made of: tensors by name, with copies of their values, hooks, words, and what it gives."""

    tensors: dict[str, Any]
    hooks: dict[str, int]
    words: tuple[int, ...]
    given: torch.Tensor


def _check_changes(work: _Work) -> None:
    import torch

    before = _given(work.model, work.file)
    with work.applied() as changed:
        whole = _given(changed, work.file)
    with work.applied(0.5) as changed:
        half = _given(changed, work.file)
    for now, weight in ((whole, 1), (half, 0.5)):
        if now.shape == before.shape and torch.equal(now, before):
            raise BreachError(
                f"with weight {weight} the model gives what it gave before; is the patch applied at all?"
            )
    if work.file.kind is not WeightKind.INVERSION and torch.equal(whole, half):
        raise BreachError("weights 1 and 0.5 give the same; scale the change by `patch.weight`")


def _check_restores(work: _Work, *, fails: bool) -> None:
    before = _state(work)
    try:
        with work.applied() as changed:
            _use(changed, work.file, fails=fails)
    except _OwnError:
        pass
    else:
        if fails:
            raise BreachError(
                "the patch swallows what is raised within it; let it pass, and put back in `finally`"
            )
    _compare(before, _state(work))


def _use(model: LoadedModel, file: WeightFile, *, fails: bool) -> None:
    _given(model, file)
    if fails:
        raise _OwnError


def _check_nested(work: _Work) -> None:
    before = _state(work)
    with work.applied(0.5), work.applied(0.25) as changed:
        _given(changed, work.file)
    _compare(before, _state(work))


def _compare(before: _State, after: _State) -> None:
    import torch

    if before.tensors.keys() != after.tensors.keys():
        names = sorted(before.tensors.keys() ^ after.tensors.keys())
        raise BreachError(f"parameters came or went: {', '.join(names[:3])}; put back what was there")
    for name, (tensor, value) in before.tensors.items():
        now, _copy = after.tensors[name]
        if now is not tensor:
            raise BreachError(
                f"{name} is another object than before; engines and optimisers hold the old one"
            )
        if now.dtype != value.dtype or now.stride() != value.stride() or not torch.equal(now, value):
            raise BreachError(
                f"{name} is not what it was, to the bit; keep the tensor that was there and put it back, since "
                "taking away what was added does not restore it"
            )
    left = [name for name, count in after.hooks.items() if count != before.hooks.get(name, 0)]
    if left:
        raise BreachError(f"hooks stay behind on {', '.join(left[:3])}; remove their handles in `finally`")
    if before.words != after.words:
        raise BreachError(
            f"tokenizers have {after.words} words, and had {before.words}; take the new ones out"
        )
    if not torch.equal(before.given, after.given):
        raise BreachError(
            "the model does not give what it gave before; something other than weights was left changed"
        )


def _state(work: _Work) -> _State:
    model = work.model
    tensors, hooks = {}, {}
    for place, network in enumerate((model.unet, model.vae, *model.text_encoders)):
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            tensors[f"{place}.{name}"] = tensor, tensor.detach().clone()
        for name, module in network.named_modules():
            count = len(module._forward_hooks) + len(module._forward_pre_hooks)  # noqa: SLF001 - torch has no other way
            if count:
                hooks[f"{place}.{name}"] = count
    words = tuple(len(tokenizer) for tokenizer in model.tokenizers)
    return _State(tensors, hooks, words, _given(model, work.file))


def _given(model: LoadedModel, file: WeightFile) -> torch.Tensor:
    """Give what the text encoders and the UNet make of a word, the file's own if it teaches one: one flat tensor."""
    import torch

    prompt = f"a {file.name or 'red circle'}"
    told = []
    with torch.inference_mode():
        for encoder, tokenizer in zip(model.text_encoders, model.tokenizers, strict=True):
            tokens = tokenizer(
                prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            )
            told.append(encoder(tokens["input_ids"], output_hidden_states=True).hidden_states[-2])
        noise = _noise(model, torch.cat(told, dim=-1))
    return torch.cat([noise.flatten(), *[part.flatten() for part in told]])


def _noise(model: LoadedModel, told: torch.Tensor) -> torch.Tensor:
    import torch

    config = model.unet.config
    added: dict[str, Any] = {}
    if config.get("addition_embed_type") == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        added = {"added_cond_kwargs": {"text_embeds": torch.zeros(1, pooled), "time_ids": torch.zeros(1, 6)}}
    latents = torch.randn((1, config.in_channels, 8, 8), generator=torch.Generator().manual_seed(0))
    predicted: torch.Tensor = model.unet(
        latents, torch.tensor([500]), encoder_hidden_states=told, return_dict=False, **added
    )[0]
    return predicted
