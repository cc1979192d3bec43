from __future__ import annotations

import pytest
from stretto.plugins.loaders.words import clip_tokenizer

TEXTS = [
    "a photo of a cat",
    "A Photo, of (a:1.2) CAT!!! 2024",
    "l'été à Zürich — 東京の猫 🐈",
    "don't we'll they're   tabs\tand\nlines",
    "supercalifragilisticexpialidocious " * 3,
]


@pytest.mark.parametrize("text", TEXTS)
def test_numbers_words_as_open_clip_does(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # open_clip sets it when it is imported
    from open_clip.tokenizer import SimpleTokenizer

    ids = clip_tokenizer()(text).input_ids
    assert ids[0] == 49406
    assert ids[-1] == 49407
    assert ids[1:-1] == SimpleTokenizer().encode(text)


def test_has_clips_size_and_paddings() -> None:
    first, second = clip_tokenizer(), clip_tokenizer(pad_token="!")
    assert len(first) == len(second) == 49408
    assert first.model_max_length == 77
    settings = {"padding": "max_length", "truncation": True}
    assert first("a cat", **settings).input_ids[-1] == 49407
    assert second("a cat", **settings).input_ids[-1] == 0
    assert len(first("cat " * 200, **settings).input_ids) == 77


def test_knows_a_few_numbers_by_heart() -> None:
    assert clip_tokenizer()("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
