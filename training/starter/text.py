"""The starter's CLIPTextModel, taught to read a scene's facts before the denoiser sees it."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training.starter.captions import Caption, write_caption
from training.starter.learner import Learner, Plan, Run
from training.starter.sprites import Sprites
from training.starter.vocabulary import LENGTH
from training.starter.world import (
    COLOURS,
    KINDS,
    PLACES,
    RELATIONS,
    SIZES,
    Mixture,
    Scene,
    sample_training_scene,
)

WIDTH: Final = 128
PLAN: Final = Plan(name="text", steps=2600, rate=1.5e-3, warm_up=60, fall_from=0.4, ema=0.99, seed=3)
BATCH: Final = 96
UNTOLD: Final = -100  # cross entropy ignores it

_COLOUR_INDEX: Final = {name: i for i, name in enumerate((*COLOURS, "none"))}
_KIND_INDEX: Final = {name: i for i, name in enumerate((*KINDS, "none"))}
_LAYOUT_INDEX: Final = {name: i for i, name in enumerate((*PLACES, *RELATIONS, "free"))}
_SIZE_INDEX: Final = {name: i for i, name in enumerate((*SIZES, "medium"))}
# ground, then kind and colour of the first and of the second figure, layout, size
_CLASSES: Final = tuple(
    len(index)
    for index in (
        _COLOUR_INDEX,
        _KIND_INDEX,
        _COLOUR_INDEX,
        _KIND_INDEX,
        _COLOUR_INDEX,
        _LAYOUT_INDEX,
        _SIZE_INDEX,
    )
)


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained CLIPTextModel: two layers of width 128."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            hidden_act="quick_gelu",
            projection_dim=WIDTH,
        )
    )


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str], *, padding: str = "max_length") -> Tensor:
    """Token ids (batch, 77), or as long as the longest text."""
    encoded = tokenizer(list(texts), padding=padding, max_length=LENGTH, truncation=True, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def train_text_encoder(run: Run, sprites: Sprites, tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> bool:
    """Read every fact off any position from the end of the text on; leaves the average in `encoder`."""
    heads = nn.ModuleList([nn.Linear(WIDTH, classes) for classes in _CLASSES])
    learner = Learner(run, PLAN, {"encoder": encoder, "heads": heads}, {})
    mixture = Mixture()
    for _ in learner.steps():
        scenes = [sample_training_scene(learner.rng, mixture, sprites.clashes) for _ in range(BATCH)]
        captions = [write_caption(scene, learner.rng) for scene in scenes]
        facts = torch.tensor([_facts(s, c) for s, c in zip(scenes, captions, strict=True)]).to(run.device)
        ids = tokenize(tokenizer, [caption.text for caption in captions], padding="longest")
        ids = functional.pad(ids, (0, learner.rng.randint(0, 8)), value=int(tokenizer.eos_token_id or 0))[
            :, :LENGTH
        ]
        ends = (ids == tokenizer.eos_token_id).int().argmax(1).tolist()
        spots = torch.tensor([learner.rng.randint(end, ids.shape[1] - 1) for end in ends])
        hidden = encoder(ids.to(run.device)).last_hidden_state
        read = hidden[torch.arange(BATCH), spots]
        losses = [functional.cross_entropy(head(read), facts[:, i]) for i, head in enumerate(heads)]
        learner.update(torch.stack(losses).sum())
    encoder.load_state_dict(learner.averages["encoder"].state_dict())
    return learner.finished


def _facts(scene: Scene, caption: Caption) -> list[int]:
    facts = [_COLOUR_INDEX[scene.ground] if caption.ground else UNTOLD]
    for i in range(2):
        if i >= len(scene.figures):
            facts += [_KIND_INDEX["none"], _COLOUR_INDEX["none"]]
            continue
        figure = scene.figures[i]
        colour = _COLOUR_INDEX[figure.colour or "none"]
        facts += [_KIND_INDEX[figure.kind], colour if caption.colours[i] else UNTOLD]
    layout = scene.relation or scene.place or "free"
    facts += [_LAYOUT_INDEX[layout] if caption.place else UNTOLD, _SIZE_INDEX[scene.size or "medium"]]
    return facts
