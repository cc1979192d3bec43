"""CLIP's tokenizer, out of the vocabulary that open_clip carries (MIT), and tokenizers of folders."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stretto.host import WeightsError

from .reading import blaming

__all__ = ["clip_tokenizer", "folder_tokenizer"]

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
# of the 262145 merges in the file CLIP uses as many as fill 49152 words with bytes and their endings
MERGES = 49152 - 256 - 2
TOKENS = 77


def clip_tokenizer(*, pad_token: str = EOS) -> Any:
    """Make the tokenizer of openai/clip-vit-large-patch14: 49408 words; OpenCLIP's pads with `!`."""
    from transformers import CLIPTokenizer

    merges = _merges()
    letters = _byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), BOS, EOS]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=pad_token, model_max_length=TOKENS)


def folder_tokenizer(folder: Path) -> Any:
    """Read a CLIPTokenizer from a folder; raises WeightsError."""
    from transformers import CLIPTokenizer

    if not any((folder / name).is_file() for name in ("vocab.json", "tokenizer.json")):
        raise WeightsError(f"{folder} has no vocab.json; copy the tokenizer again from the model's source")
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise WeightsError(
            f"{folder} cannot be loaded: {error}; copy it again from the model's source"
        ) from error


def _merges() -> list[tuple[str, str]]:
    spec = find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            "single files need CLIP's vocabulary, which open_clip carries; `pip install open_clip_torch`"
        )
    file = Path(spec.submodule_search_locations[0]) / VOCABULARY
    with blaming(file):
        lines = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
    pairs = (line.split() for line in lines[1 : MERGES + 1])
    return [(first, last) for first, last in pairs]


def _byte_letters() -> list[str]:
    """Give a printable letter for each byte: itself where it prints, else one from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [*map(chr, printable), *(chr(256 + index) for index in range(len(others)))]
