"""The frozen plugin of plugin API 1: as it was, all of it on, drawn with, called, and held to the kit."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stretto.host.hookspecs import HostSpecs
from stretto.host.plugboard.registry import KINDS
from stretto.host.runtime.host import Host
from stretto.host.testing import Supplies, assert_conforms
from stretto.host.testing.borders import private_imports

from ..api.client import COMMAND, Process

V1 = Path(__file__).parent / "v1"
STARTER = Path(__file__).parents[2] / "plugins" / "starter" / "model"
# of the files' names and bytes, in the order of the names
CHECKSUMS = {"v1": "1b03716eec9ce5f5e962c4a7f949fcda1ed239ead7dafe4965e4dfc45c96968e"}
OFFERED = {
    "models": ["frozen-model"],
    "schedulers": ["frozen-ddim"],
    "vaes": ["frozen-vae"],
    "loaders": ["frozen-loader"],
    "patchers": ["frozen-patcher"],
    "controlnets": ["frozen-lines"],
    "preprocessors": ["frozen-threshold"],
    "upscalers": ["frozen-doubler"],
    "background_removers": ["frozen-corners"],
    "compilers": ["frozen-eager"],
    "routes": ["frozen-names", "frozen-draw", "frozen-echo"],
    "commands": ["frozen"],
}
ALONE = ("routes", "commands")  # called below, over HTTP and as a process
SETTLED = ("completed", "error")


@pytest.mark.parametrize("version", CHECKSUMS)
def test_what_is_frozen_was_not_edited(version: str) -> None:
    digest = hashlib.sha256()
    for path in sorted((V1.parent / version).glob("*.*")):
        digest.update(path.name.encode() + path.read_bytes())
    assert digest.hexdigest() == CHECKSUMS[version], f"take the edit of tests/plugin_api/{version} back"


def test_it_has_every_hook_and_takes_only_what_is_public() -> None:
    text = (V1 / "frozen_v1.py").read_text(encoding="utf-8")
    assert [name for name in OFFERED if f"def {KINDS[name].hook}(" not in text] == []
    since = {f"register_{name}" for name in KINDS} - {KINDS[name].hook for name in OFFERED}
    told = [name for name in vars(HostSpecs) if not name.startswith(("_", "register_")) and name not in since]
    assert [name for name in told if f"def {name}(" not in text] == []
    assert [str(one) for one in private_imports(V1)] == []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "frozen-model"
    folder.symlink_to(STARTER, target_is_directory=True)
    return folder


def test_installed_as_a_package_all_of_it_is_on(open_host: Callable[..., Host], model: Path) -> None:
    host = open_host(plugins=[V1], tables={"frozen_v1": {"model": str(model)}})
    (row,) = [row for row in host.plugins() if row.name == "frozen_v1"]
    assert (row.status, row.reason, row.version) == ("on", None, "1.0")
    assert {kind: list(names) for kind, names in row.offers.items()} == OFFERED


def test_its_offers_keep_what_their_kinds_promise(open_host: Callable[..., Host], model: Path) -> None:
    host = open_host(plugins=[V1], tables={"frozen_v1": {"model": str(model)}})
    with Supplies() as supplies:
        for kind, names in OFFERED.items():
            for name in names:
                assert_conforms(host.offer(kind, name), supplies=supplies)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("frozen")
    (root / "frozen.toml").write_text(
        f'[host]\nautoload = false\nrequire = ["frozen_v1"]\npaths = ["{V1 / "frozen_v1.py"}"]\n'
        f'[plugins.frozen_v1]\nmodel = "{model}"\ndiary = "{root / "diary.txt"}"\n',
        encoding="utf-8",
    )
    made = Process(root, ("--plugins", str(root / "frozen.toml")))
    made.start()
    _write_offset(made.data / "models" / "lora" / "frozen-offset.safetensors")
    yield made
    made.stop()


def _write_offset(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    config = json.loads((STARTER / "unet" / "config.json").read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    name = "offset.lora_down.weight"  # by which the catalog takes the file for a LoRA
    save_file({name: torch.full((config["block_out_channels"][0],), 0.01)}, path)


def _settled(server: Process, uuid: str) -> Any:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        record = server.client.get(f"/api/invocation/{uuid}").data
        if record["status"] in SETTLED:
            return record
        time.sleep(0.1)
    pytest.fail(f"{uuid} did not end")


def test_one_picture_is_drawn_by_all_of_it(server: Process) -> None:
    asked = {
        "prompt": "a red circle on a blue background",
        "model": "frozen-house",
        "width": 64,
        "height": 64,
        "seed": 1,
        "num_inference_steps": 9,
        "lora": "frozen-offset.safetensors",
        "upscale": "frozen-doubler",
        "outscale": 2,
        "plugins": {"frozen_v1": {"corner": "lime", "steps": 3}},
    }
    record = _settled(server, server.client.post("/api/invoke", asked).data["uuid"])
    assert record["status"] == "completed", record
    (row,) = server.client.get(f"/api/invocation-history/{record['uuid']}").data
    plan = row["attributes"]["plan"]
    assert plan["nodes"][0]["num_inference_steps"] == 3
    assert plan["scheduler"] == "frozen-ddim"
    with Image.open(server.data / "images" / f"{record['uuid']}_0.png") as picture:
        assert picture.size == (128, 128)
    assert "frozen_v1: at most 3 steps" in plan["resolved"]["notes"]
    told = (server.root / "diary.txt").read_text(encoding="utf-8")
    assert f"Finished {record['uuid']} 1 True\n" in told


def test_its_routes_answer(server: Process) -> None:
    told = server.client.get("/api/frozen").data
    assert "frozen-ddim" in told["names"]
    refused = server.client.get("/api/frozen?word=upscaler")
    assert refused.status == 400
    assert refused.details == ["word: there is no 'upscaler'; did you mean 'upscalers'?"]
    drawn = server.client.post("/api/frozen", {"prompt": "a red circle"})
    assert drawn.headers["X-Frozen"] == "1"
    assert _settled(server, drawn.data["uuid"])["status"] == "completed"
    assert server.client.get("/api/frozen/word").body == b"word"


def test_its_command_runs(server: Process) -> None:
    command = [
        COMMAND,
        "frozen",
        "schedulers",
        "--data-dir",
        server.root / "other",
        "--plugins",
        server.root / "frozen.toml",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "frozen-ddim" in done.stdout.splitlines()
