"""Prompts into what the UNet listens to: embeddings of any length, weights, SDXL's added conditions.

A plain prompt of up to 75 tokens is encoded exactly as diffusers' pipelines do it. Longer ones are
cut into chunks of 75 tokens whose embeddings are laid end to end; weights go through compel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ..contracts.protocols import LoadedModel
from ..errors import EngineError
from .components import is_sdxl
from .control import Controls
from .text_weights import Fragment, fragments

__all__ = ["Cache", "Conditions", "Text", "Wording", "conditions", "encode"]

Cache = Callable[[tuple[object, ...], Callable[[], Any]], Any]
# what Stability's refiner is told when nobody says how handsome the picture should be
_AESTHETIC_SCORES = (2.5, 6.0)


class Wording(NamedTuple):
    """What is avoided, what is drawn, and how many last layers of text encoders are not listened to for the latter.

    The negative prompt is read at full depth, as diffusers' pipelines do it.
    """

    negative: str
    positive: str
    clip_skip: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """One prompt, encoded: `tokens` (1, 77 * chunks, width) and, for SDXL, `pooled` (1, width)."""

    tokens: torch.Tensor
    pooled: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What guides every prediction; the first row is the negative prompt's if `guidance` is above 1."""

    tokens: torch.Tensor  # (1 or 2, length, width)
    pooled: torch.Tensor | None  # (1 or 2, width)
    time_ids: torch.Tensor | None  # (1 or 2, 5 or 6)
    guidance: float
    controls: Controls | None = None

    @property
    def guided(self) -> bool:
        """Say whether there is a negative half (classifier-free guidance)."""
        return len(self.tokens) > 1

    def repeated(self, rows: int) -> dict[str, Any]:
        """Give the UNet's arguments for `rows` latents: all negative rows first, then all positive."""
        # one picture is told by the same tensor at every step, so that the UNet can remember it
        tokens = self.tokens if rows == 1 else self.tokens.repeat_interleave(rows, dim=0)
        arguments: dict[str, Any] = {"encoder_hidden_states": tokens}
        if self.pooled is not None and self.time_ids is not None:
            arguments["added_cond_kwargs"] = {
                "text_embeds": self.pooled.repeat_interleave(rows, dim=0),
                "time_ids": self.time_ids.repeat_interleave(rows, dim=0),
            }
        return arguments


@torch.inference_mode()
def conditions(
    model: LoadedModel,
    prompts: tuple[str, str] | tuple[str, str, int],
    guidance: float,
    size_px: tuple[int, int],
    cache: Cache,
    scores: tuple[float, float] | None = None,
) -> Conditions:
    """Encode (negative, positive) `prompts`, or a `Wording`, for a canvas of `size_px` (height, width).

    Without guidance (1 or less) the negative prompt is not looked at. An empty negative prompt is
    zeros where the model was trained so (`force_zeros_for_empty_prompt`). SDXL's refiner is told
    (negative, positive) aesthetic `scores`, 0 to 10.
    """
    negative, positive, skip = Wording(*prompts)
    texts = [_cached(model, positive, skip, cache)]
    if guidance > 1:
        if not negative and model.options.get("force_zeros_for_empty_prompt", False):
            texts.insert(0, _zeros_like(texts[0]))
        else:
            texts.insert(0, _cached(model, negative, 0, cache))
    depth = skip if texts[-1].tokens.shape[1] < texts[0].tokens.shape[1] else 0  # of the shorter one
    tokens = _equally_long([text.tokens for text in texts], lambda: _cached(model, "", depth, cache).tokens)
    pooled = [text.pooled for text in texts if text.pooled is not None]
    dtype = next(model.unet.parameters()).dtype
    times = _time_ids(model, size_px, (scores or _AESTHETIC_SCORES)[-len(texts) :])
    return Conditions(
        tokens=torch.cat(tokens).to(dtype),
        pooled=torch.cat(pooled).to(dtype) if pooled else None,
        time_ids=times.to(tokens[0].device, dtype) if pooled else None,
        guidance=guidance,
    )


def _cached(model: LoadedModel, prompt: str, skip: int, cache: Cache) -> Text:
    weights, difference = model.spec.weights, model.spec.difference
    # a patch may change a text encoder, or teach it a word
    kind = str(model.text_encoders[0].dtype)
    key = ("text", weights.path, weights.fingerprint, kind, difference, model.patches, skip, prompt)
    text: Text = cache(key, lambda: encode(model, prompt, skip))
    return text


def _zeros_like(text: Text) -> Text:
    pooled = None if text.pooled is None else torch.zeros_like(text.pooled)
    return Text(tokens=torch.zeros_like(text.tokens), pooled=pooled)


def _equally_long(tokens: list[torch.Tensor], nothing: Callable[[], torch.Tensor]) -> list[torch.Tensor]:
    """Fill shorter ones up with the embedding of an empty prompt, as compel does."""
    longest = max(embedding.shape[1] for embedding in tokens)
    if all(embedding.shape[1] == longest for embedding in tokens):
        return tokens
    empty = nothing()
    return [
        torch.cat([embedding, *[empty] * ((longest - embedding.shape[1]) // empty.shape[1])], dim=1)
        for embedding in tokens
    ]


def _time_ids(model: LoadedModel, size_px: tuple[int, int], scores: tuple[float, ...]) -> torch.Tensor:
    """Tell SDXL original size, crop and target size, (rows, 6); its refiner a score instead of the target."""
    if model.options.get("requires_aesthetics_score", False):
        return torch.tensor([[*size_px, 0, 0, score] for score in scores])
    return torch.tensor([[*size_px, 0, 0, *size_px]] * len(scores))


@dataclass(frozen=True, slots=True)
class _Reading:
    """Which layer of a text encoder is read: SDXL's last but one, else the last; `skip` layers before it."""

    sdxl: bool
    skip: int

    @property
    def deep(self) -> bool:
        return self.sdxl or self.skip > 0

    def of(self, encoder: Any, output: Any) -> torch.Tensor:
        """Give the embeddings of one answer, (chunks, 77, width), as diffusers' `encode_prompt` takes them."""
        if not self.deep:
            return output.last_hidden_state  # type: ignore[no-any-return]  # transformers' outputs are untyped
        position = self.skip + (2 if self.sdxl else 1)
        if position > len(output.hidden_states):
            raise EngineError(
                f"clip_skip {self.skip} leaves nothing of a text encoder of {len(output.hidden_states) - 1} "
                "layers; lower it"
            )
        layer: torch.Tensor = output.hidden_states[-position]
        # SDXL reads layers as they are
        return layer if self.sdxl else getattr(encoder, "text_model", encoder).final_layer_norm(layer)


@torch.inference_mode()
def encode(model: LoadedModel, prompt: str, clip_skip: int = 0) -> Text:
    """Encode one prompt with all of the model's text encoders, whatever its length and weights.

    `clip_skip` layers at the encoders' ends are not listened to, which is diffusers' meaning of the
    word; raises EngineError where an encoder has too few.
    """
    reading = _Reading(is_sdxl(model), clip_skip)
    encoded = [
        _encode_with(tokenizer, encoder, fragments(prompt), reading)
        for tokenizer, encoder in zip(model.tokenizers, model.text_encoders, strict=True)
    ]
    # the encoders of one model share their vocabulary, so their lengths agree
    tokens = torch.cat([text.tokens for text in encoded], dim=-1)
    return Text(tokens=tokens, pooled=encoded[-1].pooled if reading.sdxl else None)


def _encode_with(tokenizer: Any, encoder: Any, parts: tuple[Fragment, ...], reading: _Reading) -> Text:
    plain = _encode_plain(tokenizer, encoder, "".join(part.text for part in parts), reading)
    if all(part.weight == 1.0 for part in parts):
        return plain
    return Text(tokens=_encode_weighted(tokenizer, encoder, parts, reading), pooled=plain.pooled)


def _encode_plain(tokenizer: Any, encoder: Any, text: str, reading: _Reading) -> Text:
    """Encode without weights; `pooled` is that of the first chunk, of the encoder with a projection."""
    length = _length(tokenizer, encoder)
    ids = tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids
    room = length - 2  # beginning and end take one each
    chunks = [ids[start : start + room] for start in range(0, len(ids), room)] or [[]]
    rows = [
        [tokenizer.bos_token_id, *chunk, tokenizer.eos_token_id]
        + [tokenizer.pad_token_id] * (room - len(chunk))
        for chunk in chunks
    ]
    output = encoder(torch.tensor(rows, device=encoder.device), output_hidden_states=reading.deep)
    tokens = reading.of(encoder, output)  # (chunks, 77, width)
    pooled = getattr(output, "text_embeds", None)
    return Text(tokens=tokens.reshape(1, -1, tokens.shape[-1]), pooled=None if pooled is None else pooled[:1])


def _encode_weighted(
    tokenizer: Any, encoder: Any, parts: tuple[Fragment, ...], reading: _Reading
) -> torch.Tensor:
    """Weigh fragments with compel: away from the empty prompt above 1, towards a masked one below."""
    from compel.embeddings_provider import EmbeddingsProvider, SplitLongTextMode

    class Provider(EmbeddingsProvider):  # type: ignore[misc]  # compel has no types
        """Reads the layer that is asked for; compel itself knows the last two."""

        def _encode_token_ids_to_embeddings(self, token_ids: Any, attention_mask: Any = None) -> Any:
            output = encoder(token_ids, attention_mask, output_hidden_states=reading.deep, return_dict=True)
            return reading.of(encoder, output)

    provider = Provider(
        tokenizer=tokenizer,
        text_encoder=encoder,
        truncate=False,
        split_long_text_mode=SplitLongTextMode.BRUTAL,
        model_max_length=_length(tokenizer, encoder),
    )
    # compel cannot mask a fragment that has no tokens
    heard = [part for part in parts if tokenizer(part.text, add_special_tokens=False).input_ids]
    tokens: torch.Tensor = provider.get_embeddings_for_weighted_prompt_fragments(
        [[part.text for part in heard]], [[part.weight for part in heard]], device=encoder.device
    )
    return tokens


def _length(tokenizer: Any, encoder: Any) -> int:
    """Give how many tokens fit at once; some tokenizer configs claim more than the encoder has places."""
    return int(min(tokenizer.model_max_length, encoder.config.max_position_embeddings))
