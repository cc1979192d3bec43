"""Which offers an isolated plugin can make."""

from __future__ import annotations

from typing import Any

import pytest
from stretto.host.contracts.specs import BackgroundRemoverSpec, PreprocessorSpec
from stretto.host.errors import PluginError
from stretto.host.isolation.kinds import IMAGE_KINDS


def opened(*_: object) -> Any:
    raise AssertionError("nothing is opened")


def test_offers_that_need_a_plan_are_refused() -> None:
    plain = PreprocessorSpec(name="edges", open=opened)
    assert IMAGE_KINDS["preprocessors"].checked([plain]) == [plain]
    adjusted = PreprocessorSpec(name="edges", open=opened, adjusted=opened)
    wanted = BackgroundRemoverSpec(name="key", build=opened, wanted=opened)
    for kind, spec, word in (
        ("preprocessors", adjusted, "adjusted"),
        ("background_removers", wanted, "wanted"),
    ):
        with pytest.raises(PluginError, match=rf"'{spec.name}' with `{word}`, which .* without --isolated"):
            IMAGE_KINDS[kind].checked([spec])
