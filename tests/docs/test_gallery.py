"""The gallery shows what can be sent: every request of it plans, and every picture is there."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stretto.host.contracts.request import InvocationRequest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MAX_BYTES = 1_500_000  # of the parameters' pictures, and of the gallery's


@pytest.fixture(scope="module")
def gallery() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield importlib.import_module("gallery")


def test_every_request_plans(gallery: Any, starter_path: Path) -> None:
    with gallery.studio() as at:
        for entry in gallery.ENTRIES:
            assert entry.requests, entry.name
            for request in entry.requests:
                plan = at.plan(request)
                assert (plan.model.name, plan.nodes != ()) == ("starter", True), entry.name
        for name, example in gallery.EXAMPLES.items():
            assert hasattr(InvocationRequest(), name)
            for change in example.changes:
                assert at.plan({**example.request, **change}).seed >= 0, name


def test_the_page_is_current(gallery: Any) -> None:
    page = DOCS / "gallery" / "gallery.md"
    assert page.read_text(encoding="utf-8") == gallery.gallery_page(), "run `make gallery`"


def test_every_picture_is_there_and_none_is_left_over(gallery: Any) -> None:
    for folder, names in (
        ("gallery", [entry.name for entry in gallery.ENTRIES]),
        ("images/parameters", gallery.EXAMPLES),
    ):
        pictures = list((DOCS / folder).glob("*.webp"))
        assert sorted(file.stem for file in pictures) == sorted(names), f"run `make gallery` ({folder})"
        assert sum(file.stat().st_size for file in pictures) < MAX_BYTES
