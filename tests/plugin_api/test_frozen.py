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
from stretto.host.testing.borders import private_imports
from stretto.host.testing.toy import STATIC, ToyNetwork

from ..api.client import COMMAND, Process

V1 = Path(__file__).parent / "v1"
STARTER = Path(__file__).parents[2] / "plugins" / "starter" / "model"
# of the files' names and bytes, in the order of the names
CHECKSUMS = {"v1": "2457e27fbd2d9d39d08ef49dbfa4b2816597520f57731972a86a259ff5fdfa6a"}
PLUGINS = ("frozen_v1", "frozen_v1_api")
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
SETTLED = ("completed", "error")


@pytest.mark.parametrize("version", CHECKSUMS)
def test_what_is_frozen_was_not_edited(version: str) -> None:
    digest = hashlib.sha256()
    for path in sorted((V1.parent / version).glob("*.*")):
        digest.update(path.name.encode() + path.read_bytes())
    assert digest.hexdigest() == CHECKSUMS[version], f"take the edit of tests/plugin_api/{version} back"


def test_it_has_every_hook_and_takes_only_what_is_public() -> None:
    text = "".join((V1 / f"{name}.py").read_text(encoding="utf-8") for name in PLUGINS)
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
    rows = [row for row in host.plugins() if row.name in PLUGINS]
    assert [(row.name, row.status, row.reason, row.version) for row in rows] == [
        (name, "on", None, "1.0") for name in PLUGINS
    ]
    assert {kind: list(names) for row in rows for kind, names in row.offers.items()} == OFFERED


# Not by the kit: that may ask more of new plugins than it did of this one.
def test_what_no_request_here_uses_is_built_and_called(
    open_host: Callable[..., Host], model: Path, tmp_path: Path
) -> None:
    host = open_host(plugins=[V1], tables={"frozen_v1": {"model": str(model), "level": 100}})
    picture = Image.new("RGB", (5, 3), (99, 99, 99))
    picture.putpixel((0, 0), (200, 200, 200))
    assert host.offer("loaders", "frozen-loader").build().accepts(host.resolve_model("frozen-house"))
    threshold = host.offer("preprocessors", "frozen-threshold").open((), "cpu")
    assert threshold.processed(picture).getextrema() == ((0, 255),) * 3
    cut = host.offer("background_removers", "frozen-corners").build("cpu").remove(picture)
    assert (cut.mode, cut.getpixel((0, 0))[3], cut.getpixel((1, 1))[3]) == ("RGBA", 0, 255)
    assert host.offer("controlnets", "frozen-lines").preprocessor == "frozen-threshold"
    assert host.offer("vaes", "frozen-vae").upcast

    spec = host.offer("compilers", "frozen-eager")
    compiler, network, target = spec.build(), ToyNetwork(tmp_path), spec.build().target("cpu")
    assert (spec.missing(), compiler.unable(target, "cpu")) == (None, None)
    heard: list[float | None] = []
    compiler.build(network, STATIC, target, tmp_path, lambda _phase, share: heard.append(share))
    assert heard == [0.25, 0.5, 0.75, 1.0]
    engine = compiler.open(tmp_path, network, STATIC, "cpu")
    given = network.sample({axis: span.opt for axis, span in STATIC.items()})
    assert [tuple(made.shape) for made in engine(given)] == [(2, 4, 8, 8)]
    engine.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Process]:
    root = tmp_path_factory.mktemp("frozen")
    (root / "frozen.toml").write_text(
        f"[host]\nautoload = false\nrequire = {list(PLUGINS)}\n"
        f"paths = {[str(V1 / f'{name}.py') for name in PLUGINS]}\n"
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
        assert {picture.convert("RGB").getpixel(at) for at in ((0, 0), (7, 7))} == {(0, 255, 0)}
    assert "frozen_v1: at most 3 steps" in plan["resolved"]["notes"]
    assert plan["resolved"]["plugins"]["frozen_v1"] == {"corner": "lime", "steps": 3}
    told = (server.root / "diary.txt").read_text(encoding="utf-8")
    (line,) = [line for line in told.splitlines() if line.startswith(f"Finished {record['uuid']} 1 ")]
    assert "frozen_v1: frozen-offset.safetensors by 1.0" in line
    assert "frozen_v1: a lime corner, seen in Upscale on cpu" in line


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
