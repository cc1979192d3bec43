from __future__ import annotations

from pathlib import Path
from typing import Any

from stretto.host.contracts.plan import Remover
from stretto.host.contracts.request import InvocationRequest
from stretto.host.contracts.specs import BackgroundRemoverSpec
from stretto.host.planning.backgrounds import pick_remover
from stretto.host.settings import Folders


class View:
    """A host that offers these removers over an empty data directory."""

    def __init__(self, root: Path, *specs: BackgroundRemoverSpec) -> None:
        self.folders = Folders(root)
        self.folders.create()
        self.specs = {spec.name: spec for spec in specs}

    def offers(self, kind: str) -> Any:
        assert kind == "background_removers"
        return self.specs


def unused(*_: object) -> Any:
    raise AssertionError("planning opens nothing")


NETWORK = BackgroundRemoverSpec(
    name="network", files=("network.onnx",), source="https://example.org/n", open=unused
)


def test_a_remover_without_weights_is_ready_as_it_is(tmp_path: Path) -> None:
    key = BackgroundRemoverSpec(name="key", build=unused)
    faults: list[str] = []
    assert pick_remover(View(tmp_path, NETWORK, key), InvocationRequest(), faults.append) == Remover(
        method="key"
    )
    assert faults == []


def test_a_network_that_is_asked_first_is_taken_once_its_file_is_there(tmp_path: Path) -> None:
    host = View(tmp_path, NETWORK, BackgroundRemoverSpec(name="key", build=unused))
    (host.folders.model_folder("background") / "network.onnx").write_bytes(b"weights")
    found = pick_remover(host, InvocationRequest(), lambda _: None)
    assert found is not None
    assert found.method == "network"
    assert found.weights is not None


def test_an_offer_that_says_neither_how_nor_with_what_is_a_fault(tmp_path: Path) -> None:
    faults: list[str] = []
    assert (
        pick_remover(View(tmp_path, BackgroundRemoverSpec(name="idle")), InvocationRequest(), faults.append)
        is None
    )
    assert "'backgrounds'" in faults[0]
