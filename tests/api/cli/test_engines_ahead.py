"""Every network of every kind of model built ahead by the command, for three generations of GPUs, without any."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from stretto.api.cli.main import run
from stretto.host.engine import graphs
from stretto.host.settings import Folders
from stretto.host.testing.fixtures import tiny_inpainter, tiny_sd1, tiny_sdxl  # noqa: F401
from stretto.trt_cache.store import EngineStore, State, StoredEngine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed"),
]
TARGETS = ("sm80", "sm89", "sm120")
# The model and what is built of it, by the words of the command.
CASES = {
    "sd1": ("tiny_sd1", ("unet", "controlled_unet", "vae_decoder", "vae_encoder")),
    "inpainting": ("tiny_sd1", ("inpaint_unet",)),  # nine channels
    "sdxl": ("tiny_sdxl", ("unet",)),
}


@pytest.fixture
def read_by_polygraphy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have `polygraphy inspect` read every ONNX file that is exported; gives its words."""
    said: list[str] = []
    real = graphs.export

    def inspected(*what: Any) -> None:
        real(*what)
        found = subprocess.run(
            [Path(sys.executable).with_name("polygraphy"), "inspect", "model", str(what[-1])],
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        said.append(found.stdout)

    monkeypatch.setattr(graphs, "export", inspected)
    return said


@pytest.mark.parametrize("case", CASES)
def test_all_networks_are_built_for_three_gpus_with_complete_manifests(
    case: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    read_by_polygraphy: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path))
    folders = Folders(tmp_path)
    kind, components = CASES[case]
    for fixture, name in ((kind, kind), ("tiny_inpainter", f"{kind}-inpainting")):
        shutil.copytree(request.getfixturevalue(fixture), folders.model_folder("diffusers") / name)
    named = [word for component in components for word in ("--component", component)]
    named += [word for target in TARGETS for word in ("--target", target)]
    words = ["--compiler", "tensorrt_rtx", "--set", "size=64", "--set", "precision=float16", "--json"]
    assert run(["engines", "build", kind, *named, *words]) == 0
    rows = json.loads(capsys.readouterr().out)
    wanted = [(component.removeprefix("inpaint_"), target) for component in components for target in TARGETS]
    assert [(row["component"], row["target"]) for row in rows] == wanted
    engines = {(one.key.component, one.key.target): one for one in EngineStore(folders.engines).all()}
    assert sorted(engines) == sorted(wanted)
    for engine in engines.values():
        check(engine)
    assert len(read_by_polygraphy) == len(components)  # one export for all targets
    assert all(
        "---- 1 Graph Input(s)" in said or "Graph Input(s) ----" in said for said in read_by_polygraphy
    )
    with capsys.disabled():
        for row in rows:
            what = f"{case} {row['component']} {row['target']}"
            sys.stdout.write(f"\n{what}: {row['seconds']:.1f} s, {row['bytes'] / 1e6:.2f} MB")


def check(engine: StoredEngine) -> None:
    manifest = engine.manifest
    assert engine.state is State.UNVERIFIED
    assert engine.key.compiler == "tensorrt_rtx"
    assert engine.key.precision in ("float16", "float32")  # a VAE may be kept in more than was asked for
    assert engine.key.version.startswith("tensorrt_rtx ")
    assert engine.key.digest == engine.digest
    assert len(engine.key.graph) == 64
    assert (manifest.model.size_px, manifest.model.device) == (64, "cpu")
    assert manifest.model.sources
    assert all(len(source.sha256) == 64 for source in manifest.model.sources)
    assert manifest.build_s > 0
    assert (manifest.peak_bytes or 0) > 10**7
    assert manifest.graph is not None
    assert manifest.graph["passed"] is True
    assert manifest.parity is None
    assert manifest.files
    for name, told in manifest.files.items():
        written = (engine.path / "engine" / name).read_bytes()
        assert (len(written), hashlib.sha256(written).hexdigest()) == (told.size, told.sha256)
