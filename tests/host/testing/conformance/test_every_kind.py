from __future__ import annotations

import importlib.util
import sys

import pytest
from stretto.host import Spec, UpscalerSpec
from stretto.host.errors import ConfigurationError
from stretto.host.testing import assert_conforms
from stretto.plugins.resamplers import Resampler


def up(**changes):
    return UpscalerSpec(**{"name": "mine", "build": lambda _device: Resampler("nearest"), **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": " mine"}, "' mine' is no name"),
        ({"name": "m" * 65}, "has 65 letters"),
        ({"aliases": ["a"]}, "write a tuple of strings"),
        ({"aliases": ("mine",)}, "leave it out of the aliases"),
        ({"title": "two\nlines"}, "write one line for people"),
    ],
)
def test_words_that_are_none_are_said(changes, words, breaches):
    found = breaches(up(**changes))
    assert list(found) == ["name, title and aliases are valid"]
    assert words in found["name, title and aliases are valid"]


def test_a_module_that_imports_torch_is_said(tmp_path, breaches):
    file = tmp_path / "weighty.py"
    file.write_text(
        "import torch\n\n\ndef build(device):\n"
        "    from stretto.plugins.resamplers import Resampler\n    return Resampler('nearest')\n"
    )
    spec = importlib.util.spec_from_file_location("weighty", file)
    module = sys.modules["weighty"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        found = breaches(up(build=module.build))
    finally:
        del sys.modules["weighty"]
    assert found == {
        "importing it pulls in no torch": "importing 'weighty' imports torch; import them inside `build`"
    }


def test_what_is_no_offer_is_refused():
    with pytest.raises(ConfigurationError, match="Spec is no offer; known: ModelOffer"):
        assert_conforms(Spec(name="mine"))
