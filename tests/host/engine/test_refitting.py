"""What takes other weights is not built anew; what does not is, and nothing half made stays."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stretto.host.engine.refitting import refitted
from stretto.host.errors import EngineBuildError


class Builder:
    def version(self) -> str:
        return "1"

    target = targets = flags = build = unable = open = version


class Taker(Builder):
    def __init__(self, refusal: Exception | None = None) -> None:
        self._refusal = refusal

    def refit(self, network: Any, engine: Path, target: str, out: Path, report: Any) -> None:
        report(f"take {network}", 0.5)
        (out / "half").mkdir()
        (out / "half" / "file").write_text("")
        (out / "plan").write_text(f"{network} {engine.name} {target}")
        if self._refusal:
            raise self._refusal


@pytest.fixture
def kin(tmp_path: Path) -> Any:
    return SimpleNamespace(path=tmp_path / "kin", digest="a" * 64, key=SimpleNamespace(target="sm89"))


def heard(compiler: Any, kin: Any, out: Path) -> tuple[bool, list[str]]:
    said: list[str] = []
    done = refitted(compiler, "network", kin, out, lambda phase, _share: said.append(phase))  # type: ignore[arg-type]  # any value will do
    return done, said


def test_weights_go_into_the_engine_that_is_there(kin: Any, tmp_path: Path) -> None:
    assert heard(Taker(), kin, tmp_path) == (
        True,
        ["put weights into the engine aaaaaaaaaaaa", "take network"],
    )
    assert (tmp_path / "plan").read_text() == "network engine sm89"


def test_nothing_is_tried_without_kin_or_by_who_cannot(kin: Any, tmp_path: Path) -> None:
    assert heard(Taker(), None, tmp_path) == (False, [])
    assert heard(Builder(), kin, tmp_path) == (False, [])
    assert not list(tmp_path.iterdir())


def test_what_was_half_made_goes_and_the_reason_is_told(kin: Any, tmp_path: Path) -> None:
    done, said = heard(Taker(EngineBuildError("it keeps its weights")), kin, tmp_path)
    assert not done
    assert said[-1] == "the engine aaaaaaaaaaaa does not take other weights (it keeps its weights); build one"
    assert not list(tmp_path.iterdir())


def test_a_build_that_is_ended_ends(kin: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        heard(Taker(KeyboardInterrupt()), kin, tmp_path)  # type: ignore[arg-type]
