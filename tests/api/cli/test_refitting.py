"""An engine with a LoRA in it is its base's with other weights, where the compiler can do that."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stretto.api.cli.main import run
from stretto.host.settings import Folders
from stretto.trt_cache.store import EngineStore, State, StoredEngine

from ..refitter import HOW

ROOT = Path(__file__).parents[3]
LORA = ROOT / "plugins" / "starter" / "companions" / "outline-lora"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    monkeypatch.chdir(tmp_path)
    plugins = tmp_path / "plugins.toml"
    plugins.write_text(f'[host]\nautoload = false\npaths = ["{Path(__file__).parents[1] / "refitter.py"}"]\n')
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("STRETTO_PLUGINS", str(plugins))
    folders = Folders(tmp_path / "data")
    (lora,) = LORA.glob("*.safetensors")
    folders.model_folder("lora").mkdir(parents=True)
    shutil.copy(lora, folders.model_folder("lora") / "outline.safetensors")
    return EngineStore(folders.engines)


def build(*words: str) -> int:
    return run(["engines", "build", "starter", "--compiler", "refitter", "--component", "unet", *words])


def how(engine: StoredEngine) -> str:
    return (engine.path / "engine" / HOW).read_text()


def test_other_weights_are_put_into_the_engine_that_is_there(store: EngineStore) -> None:
    assert build() == 0
    assert build("--set", "lora=outline.safetensors") == 0
    base, changed = store.all()
    assert (how(base), how(changed)) == ("built", "refitted")
    # held against torch with the LoRA: the gate would have put the base's weights aside
    assert (base.state, changed.state) == (State.VERIFIED, State.VERIFIED)
    assert base.manifest.model.architecture == changed.manifest.model.architecture != ""
