"""The starter's CLIPTokenizer: byte-level BPE, lower case, learnt from the world's captions."""

import json
import random
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training.starter.captions import (
    DOINGS,
    GROUND_FORMS,
    MANNERS,
    OPENINGS,
    PLACE_PHRASES,
    SYNONYMS,
    TAGS,
    write_caption,
)
from training.starter.world import KINDS, Mixture, sample_scene

LENGTH: Final = 77
SPARE_WORDS: Final = (
    "outline outlined outlines style striped stripes dotted line lines sketch neon glowing pastel shape shapes thing two three "
    "many no not filled light dark empty scene object objects photo portrait landscape painting watercolor"
)
# CLIP's own word pattern: https://github.com/openai/CLIP/blob/main/clip/simple_tokenizer.py
WORDS: Final = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def build_tokenizer(folder: Path) -> CLIPTokenizer:
    """Learn the merges and write vocab.json, merges.txt and tokenizer_config.json."""
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        min_frequency=60,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(_texts(), trainer)
    pairs = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    words += [word for word in dict.fromkeys(a + b for a, b in pairs) if word not in set(words)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(f"{a} {b}" for a, b in pairs) + "\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    config = {
        **special,
        "pad_token": "<|endoftext|>",
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": LENGTH,
        "tokenizer_class": "CLIPTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "special_tokens_map.json").write_text(
        json.dumps({**special, "pad_token": "<|endoftext|>"}, indent=2) + "\n"
    )
    return load_tokenizer(folder)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer in `folder`."""
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return tokenizer


def _texts() -> list[str]:
    rng = random.Random(5)
    scenes = [sample_scene(rng, Mixture(), frozenset()) for _ in range(20_000)]
    captions = [write_caption(scene, rng).text.lower() for scene in scenes]
    places = (phrase for phrases in PLACE_PHRASES.values() for phrase in phrases)
    synonyms = (word for words in SYNONYMS.values() for word in words)
    closed = (SPARE_WORDS, *TAGS, *DOINGS, *MANNERS, *OPENINGS, *places, *synonyms, *KINDS, *GROUND_FORMS)
    return captions + [" ".join(closed).lower()] * 200
