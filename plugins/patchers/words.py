"""Textual inversions: new words in the tokenizers, and their vectors in the text encoders, for a while.

Formats: A1111's `.pt`, diffusers' `.bin` and `.safetensors` ({word: vectors}), `emb_params`, and SDXL's
`clip_l` with `clip_g`. https://arxiv.org/abs/2208.01618
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import Family, LoadedModel, Patch, WeightFile, WeightKind, WeightsError

from .reading import read_values, tensors_in

if TYPE_CHECKING:
    import torch

__all__ = ["Speller", "WordPatcher"]

WIDTHS = {768: Family.SD1, 1024: Family.SD2, 1280: Family.SDXL}
MATRIX = 2
NAMELESS = ("emb_params", "clip_l", "clip_g")  # tensors that say whose they are, and not the word


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learnt:
    """What a file teaches: the words that call it, and (vectors, width) for each text encoder."""

    words: tuple[str, ...]
    vectors: tuple[torch.Tensor, ...]


class Speller:
    """A tokenizer that writes new tokens in the place of a word; in all else the tokenizer that it has."""

    def __init__(self, tokenizer: Any, words: tuple[str, ...], tokens: str) -> None:
        self._tokenizer = tokenizer
        alternatives = "|".join(_pattern(word) for word in sorted(words, key=len, reverse=True))
        self._words = re.compile(alternatives, re.IGNORECASE)  # CLIP hears no capitals
        self._tokens = tokens

    def __call__(self, text: Any, *arguments: Any, **options: Any) -> Any:
        """Tokenize text, or each of a list."""
        return self._tokenizer(self._spelt(text), *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __deepcopy__(self, memory: dict[int, Any]) -> Speller:
        copied = Speller.__new__(Speller)
        copied.__dict__.update(self.__dict__, _tokenizer=deepcopy(self._tokenizer, memory))
        return copied

    def add_tokens(self, tokens: list[str]) -> int:
        """Add tokens to the tokenizer inside."""
        return int(self._tokenizer.add_tokens(tokens))

    def _spelt(self, text: Any) -> Any:
        if isinstance(text, str):
            return self._words.sub(lambda _found: self._tokens, text)
        return [self._spelt(one) for one in text]


class WordPatcher:
    """Teaches a model the words of one file."""

    def accepts(self, file: WeightFile) -> bool:
        """Say whether `file` is an inversion."""
        return file.kind is WeightKind.INVERSION

    @contextmanager
    def applied(self, model: LoadedModel, patch: Patch, note: Callable[[str], None]) -> Iterator[LoadedModel]:
        """Give the model with copies of its tokenizers that know the word, and longer embedding tables.

        The old tables come back, untouched, at the end. Raises WeightsError when the vectors are not
        for this model's text encoders.
        """
        learnt = _read(patch.file, model)
        said = " or ".join(f"'{word}'" for word in learnt.words)
        note(f"the inversion '{patch.file.name}' is called by {said} in the prompt")
        with ExitStack() as stack:
            tokenizers = [
                stack.enter_context(_taught(tokenizer, encoder, learnt.words, vectors))
                for tokenizer, encoder, vectors in zip(
                    model.tokenizers, model.text_encoders, learnt.vectors, strict=True
                )
            ]
            yield replace(model, tokenizers=tuple(tokenizers))


@contextmanager
def _taught(tokenizer: Any, encoder: Any, words: tuple[str, ...], vectors: torch.Tensor) -> Iterator[Any]:
    """Give a tokenizer that knows `words`, and `encoder` the rows (vectors, width) meanwhile."""
    from torch import cat, nn

    table = encoder.get_input_embeddings()
    first = table.weight.shape[0]
    # tables may have more rows than the tokenizer has words, and ids must be those of the new rows
    spare = [f"<|spare:{number}|>" for number in range(len(tokenizer), first)]
    tokens = [f"<|inversion:{first + number}|>" for number in range(len(vectors))]
    copied = deepcopy(tokenizer)
    copied.add_tokens([*spare, *tokens])
    rows = cat([table.weight.detach(), vectors.to(table.weight)])
    longer = nn.Embedding(rows.shape[0], rows.shape[1], _weight=rows).requires_grad_(requires_grad=False)
    with _pooled_at_the_end(encoder, tokenizer.eos_token_id):
        encoder.set_input_embeddings(longer)
        try:
            yield Speller(copied, words, f" {' '.join(tokens)} ")
        finally:
            encoder.set_input_embeddings(table)


@contextmanager
def _pooled_at_the_end(encoder: Any, end: int) -> Iterator[None]:
    """Have the encoder pool where the text ends: old configs (end = 2) mean the largest id, now a new word's."""
    holders = [module for module in encoder.modules() if getattr(module, "eos_token_id", None) is not None]
    before = [module.eos_token_id for module in holders]
    for module in holders:
        module.eos_token_id = end
    try:
        yield
    finally:
        for module, value in zip(holders, before, strict=True):
            module.eos_token_id = value


def _pattern(word: str) -> str:
    """Match a word as a whole: `zog` is not in `zogs`, `<zog>` is anywhere."""
    before = r"(?<!\w)" if word[0].isalnum() else ""
    after = r"(?!\w)" if word[-1].isalnum() else ""
    return before + re.escape(word) + after


def _read(file: WeightFile, model: LoadedModel) -> _Learnt:
    path = Path(file.path)
    values = read_values(path)
    words, tensors = _named(path, values)
    vectors = {name: value[None] if value.ndim == 1 else value for name, value in tensors.items()}
    for name, value in vectors.items():
        if value.ndim != MATRIX or not len(value) or not value.is_floating_point():
            raise WeightsError(
                f"{path} holds no vectors of words: '{name}' has the shape {list(value.shape)}"
            )
    return _Learnt(words=words, vectors=_matched(file, vectors, model))


def _named(path: Path, values: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, torch.Tensor]]:
    """Give the words that call a file and its tensors: A1111's by file and inner name, others by their key."""
    nested = values.get("string_to_param")
    if isinstance(nested, Mapping):
        inner = values.get("name")
        names = (path.stem, inner) if isinstance(inner, str) and inner.strip() else (path.stem,)
        return tuple(dict.fromkeys(names)), tensors_in(nested)
    tensors = tensors_in(values)
    if not tensors:
        raise WeightsError(f"{path} holds no vectors of words; download it again")
    first = next(iter(tensors))
    if first in NAMELESS or first.startswith("string_to_param"):
        return (path.stem,), tensors
    return (first,), tensors


def _matched(
    file: WeightFile, tensors: Mapping[str, torch.Tensor], model: LoadedModel
) -> tuple[torch.Tensor, ...]:
    """Give each text encoder its vectors; raises WeightsError saying whose they are."""
    widths = [encoder.get_input_embeddings().weight.shape[1] for encoder in model.text_encoders]
    found = [tensors[name] for name in ("clip_l", "clip_g") if name in tensors] or list(tensors.values())
    if len(widths) == 1 < len(found) and "clip_g" in tensors and model.spec.weights.family == "sdxl-refiner":
        found = [tensors["clip_g"]]
    if [vectors.shape[1] for vectors in found] == widths:
        return tuple(found)
    given = " and ".join(str(vectors.shape[1]) for vectors in found)
    base = model.spec.weights
    raise WeightsError(
        f"{file.path} cannot teach the model '{base.name or base.path}' ({base.family}) a word: its vectors have "
        f"{given} channels, and the model's text encoders {' and '.join(map(str, widths))}. It is for "
        f"{_made_for(file, tensors)}; name such a model, or leave it out"
    )


def _made_for(file: WeightFile, tensors: Mapping[str, torch.Tensor]) -> str:
    if file.family is not None:
        return str(file.family)
    if "clip_g" in tensors:
        return str(Family.SDXL)
    width = next(iter(tensors.values())).shape[-1]
    return str(WIDTHS.get(width, f"a text encoder of {width} channels"))
