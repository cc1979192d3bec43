"""Our own plugins, held to the kit that their authors are held to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2  # noqa: F401 - it changes LD_LIBRARY_PATH when it is first imported
import pytest
from stretto.host import Spec
from stretto.host.plugboard.registry import KINDS
from stretto.host.testing import Supplies, assert_conforms
from stretto.host.testing.hosts import opened_host

from .conformance_table import PAGE
from .tiny_files import files_of

# Its C++ compiler takes half a minute; tests/plugins/compilers/test_torch_compile.py builds the same network.
SLOW = ("torch_compile",)


def _offered() -> list[Any]:
    with TemporaryDirectory() as folder, opened_host(Path(folder)) as host:
        return [
            pytest.param(kind, name, marks=[pytest.mark.slow] if name in SLOW else [])
            for kind in KINDS
            for name in host.offers(kind)
        ]


@pytest.fixture(scope="module")
def supplies() -> Iterator[Supplies]:
    with Supplies() as made:
        yield made


@pytest.mark.parametrize(("kind", "name"), _offered())
def test_a_built_in_offer_conforms(
    kind: str, name: str, supplies: Supplies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "TORCHINDUCTOR_VEC_ISA_OK", "1"
    )  # inductor tries every instruction set for half a minute
    spec: Spec = supplies.host.offer(kind, name)
    report = assert_conforms(spec, files=files_of(kind, spec, supplies), supplies=supplies)
    assert len(report.rows) > 3
    assert any(row.seconds > 0 for row in report.rows)
    json.dumps([row.to_json() for row in report.rows])


def test_the_page_has_a_line_of_every_offer() -> None:
    page = PAGE.read_text("utf-8")
    for kind, name in (case.values for case in _offered()):
        assert re.search(rf"\| {KINDS[kind].word} \| `{name}` \| \d+ \| 0 \|", page), (
            f"run `make conformance` for {name}"
        )
