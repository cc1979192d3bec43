"""`stretto engines build`: for this machine and for others, and what it says of what cannot be."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from stretto.api.cli.main import run
from stretto.host.engine import graphs
from stretto.host.settings import Folders
from stretto.trt_cache.store import EngineStore, State

from ...kept_engines import keep

KEEPER = Path(__file__).parent.parent / "keeper.py"
FRAIL = Path(__file__).parents[2] / "host" / "runtime" / "frail_compiler.py"

SECOND = ("--component", "text_encoder_2")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_sd1: Path) -> Folders:
    monkeypatch.chdir(tmp_path)
    plugins = tmp_path / "plugins.toml"
    plugins.write_text(f'[host]\nautoload = false\npaths = ["{KEEPER}"]\n')
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("STRETTO_PLUGINS", str(plugins))
    found = Folders(tmp_path / "data")
    shutil.copytree(tiny_sd1, found.model_folder("diffusers") / "tiny")
    return found


def build(*words: str) -> int:
    return run(["engines", "build", "tiny", "--set", "size=64", "--compiler", "keeper", *words])


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_engines_for_this_machine_are_verified_and_built_once(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build() == 0
    shown = capsys.readouterr()
    heads, *lines = shown.out.splitlines()
    assert heads.split()[:4] == ["COMPONENT", "TARGET", "ENGINE", "STATE"]
    engines = EngineStore(folders.engines).all()
    assert [engine.state for engine in engines] == [State.VERIFIED] * 2
    assert [line.split()[:4] for line in lines] == [
        [engine.key.component, "cpu", engine.digest[:12], "verified"] for engine in engines
    ]
    assert "build the unet of 'tiny' with keeper" in shown.err
    assert build("--json", "--component", "unet") == 0
    (row,) = rows(capsys)
    assert (row["digest"], row["bytes"]) == (engines[0].digest, engines[0].manifest.size_bytes)
    assert len(EngineStore(folders.engines).all()) == 2


def test_engines_for_other_machines_are_told_how_to_get_there_and_one_failure_is_one_row(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = ("--target", "sm89", "--target", "sm120")
    assert build("--component", "vae_encoder", *targets) == 1
    shown = capsys.readouterr()
    (engine,) = EngineStore(folders.engines).all()
    assert (engine.key.target, engine.state) == ("sm89", State.UNVERIFIED)
    assert f"engines export engines.tar {engine.digest[:12]}\n" in shown.out
    assert "verified where it runs (it is for sm89)" in " ".join(shown.out.split())
    assert shown.err.endswith(
        "stretto: EngineBuildError: vae_encoder for sm120: the plugin 'keeper' raised in build of the compiler "
        "'keeper': EngineBuildError: keeper cannot build the vae_encoder for 'sm120': it keeps none of those\n"
    )
    assert run(["engines", "export", "engines.tar", engine.digest[:12]]) == 0
    shutil.rmtree(folders.engines)
    assert run(["engines", "import", "engines.tar"]) == 0
    assert [found.digest for found in EngineStore(folders.engines).all()] == [engine.digest]


def test_a_refiners_unet_is_built_where_one_is_named(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folders.model_folder("diffusers") / "tiny", folders.model_folder("diffusers") / "fine")
    assert build("--component", "refiner_unet") == 2
    assert "'tiny' is drawn without one; name a `refiner`" in capsys.readouterr().err
    assert build("--component", "refiner_unet", "--set", "refiner=fine") == 0
    assert "build the unet of 'fine' with keeper" in capsys.readouterr().err
    (engine,) = EngineStore(folders.engines).all()
    assert (engine.key.component, engine.manifest.model.model) == ("unet", "fine")


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is not installed")
def test_tensorrt_builds_for_gpus_that_are_elsewhere_of_one_export(
    tmp_path: Path, starter_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path))
    engines = Folders(tmp_path).engines
    exports, real = [], graphs.export
    monkeypatch.setattr(graphs, "export", lambda *what: (exports.append(what[0]), real(*what)))
    words = [
        "--component",
        "vae_decoder",
        "--target",
        "sm89",
        "--target",
        "sm120",
        "--set",
        "precision=float16",
    ]
    assert run(["engines", "build", "starter", *words]) == 0
    shown = capsys.readouterr().out
    built = EngineStore(engines).all()
    assert sorted(engine.key.target for engine in built) == ["sm120", "sm89"]
    assert exports == ["vae_decoder"]
    assert run(["engines", "list"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    for engine in built:
        assert (engine.key.compiler, engine.state) == ("tensorrt_rtx", State.UNVERIFIED)
        assert engine.digest[:12] in shown
        assert engine.manifest.size_bytes > 10**6
        assert engine.manifest.graph is not None
        assert engine.manifest.graph["passed"] is True
        row = f"{engine.digest[:12]} vae_decoder starter 128 px tensorrt_rtx {engine.key.target} unverified"
        assert row in listed
    assert run(["engines", "verify"]) == 0
    keep(engines)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--component", "unett"], 2, "no network is called 'unett'; did you mean 'unet'?"),
        (SECOND, 2, "'keeper' does not compile text_encoder_2; it compiles unet"),
        (["--component", "inpaint_unet"], 2, "'tiny': there is no inpainting model for it here"),
        (["--target", "sm8"], 2, "'keeper' does not build for 'sm8'; did you mean 'sm89'?"),
        (
            ["--target", "sm61"],
            2,
            "'keeper' does not build for 'sm61'; the GPU is too old; the oldest that works is sm89",
        ),
        (["--compiler", "keep"], 2, "acceleration: "),
        ([*SECOND, "--compiler", "onnxruntime"], 2, "'tiny' has no text_encoder_2: models of sd1 have none"),
        (["--set", "lora=none.safetensors"], 2, "lora"),
        (["--set", "model=no"], 2, "MODEL"),
    ],
)
def test_what_is_unknown_is_one_line_before_anything_is_loaded(
    folders: Folders, capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    assert build(*words) == status
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert not folders.engines.exists()


def test_a_full_disk_fails_one_engine_and_not_the_next(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plugins.toml").write_text(f'[host]\nautoload = false\npaths = ["{FRAIL}"]\n')
    monkeypatch.setenv("FRAIL_COMPILER", "disk")
    assert run(["engines", "build", "tiny", "--set", "size=64", "--compiler", "frail", "--json"]) == 1
    first, second = rows(capsys)
    assert (first["component"], first["state"]) == ("unet", "failed")
    assert "No space left on device; free some disk, or name another folder with --engine-dir" in first["why"]
    assert (second["component"], second["state"]) == ("vae_decoder", "verified")
    assert [engine.key.component for engine in EngineStore(folders.engines).all()] == ["vae_decoder"]
