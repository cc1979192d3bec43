"""`stretto plugins new`: a plugin of each kind is written, installed, tested by its own tests and drawn with.

All are installed into a folder that child processes alone look into.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from stretto.api.cli.main import run
from stretto.api.cli.plugin_new import PLUGIN_KINDS, TEMPLATES
from stretto.host.testing.borders import private_imports

ROOT = Path(__file__).parents[3]
LIMIT_S = 300


@dataclass(frozen=True)
class Place:
    """Projects of every kind, `try-<kind>`, and the folder into which they are installed."""

    projects: Path
    site: Path

    def python(self, *words: str | Path, cwd: Path) -> str:
        """Run Python where the plugins are installed and give what it prints."""
        paths = os.pathsep.join(filter(None, (str(self.site), os.environ.get("PYTHONPATH"))))
        done = subprocess.run(
            [sys.executable, *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": paths, "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("authors")
    projects = root / "projects"
    projects.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("STRETTO_DATA_DIR", str(root / "data"))
        for kind in PLUGIN_KINDS:
            assert run(["plugins", "new", f"try-{kind}", "--kind", kind, "--into", str(projects)]) == 0
    found = Place(projects, root / "site")
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", found.site)
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    # a copy, since a build leaves its own folders in a project
    copies = shutil.copytree(projects, root / "built")
    found.python(*pip, *offline, *sorted(copies.iterdir()), cwd=root)
    return found


def test_there_is_a_template_of_every_kind_and_no_other() -> None:
    shared = {"pyproject.toml", "py.typed"}
    own = {f"{kind}.{end}" for kind in PLUGIN_KINDS for end in ("py", "test.py", "md")}
    assert {file.name.removesuffix(".tmpl") for file in TEMPLATES.iterdir()} == shared | own


def test_what_is_written_is_clean(place: Place) -> None:
    # torch has no public name for a layer's hooks, and protocols have arguments that not all need
    ignored = "lint.extend-ignore=['ARG002','SLF001']"
    tests = "lint.per-file-ignores={'**/tests/**'=['S101','PLR2004','ANN','D','INP001','I001']}"
    ruff = (
        Path(sys.executable).with_name("ruff"),
        "check",
        "--no-cache",
        "--config",
        ROOT / "pyproject.toml",
    )
    done = subprocess.run(
        [*ruff, "--config", ignored, "--config", tests, "."],
        cwd=place.projects,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [str(found) for found in private_imports(place.projects)] == []


def test_each_is_on_with_what_it_offers_and_takes_what_its_page_says(place: Place, tmp_path: Path) -> None:
    pages = [page.read_text("utf-8") for page in sorted(place.projects.glob("*/README.md"))]
    tables = [
        table
        for page in pages
        for table in re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ]
    assert len(tables) >= len(PLUGIN_KINDS)
    (tmp_path / "plugins.toml").write_text("\n".join(tables))
    said = place.python(
        "-m", "stretto.api.cli.main", "plugins", "list", "--json", "--data-dir", "data", cwd=tmp_path
    )
    rows = {row["name"]: row for row in json.loads(said)}
    for kind, offered in PLUGIN_KINDS.items():
        row = rows[f"try-{kind}"]
        assert (row["status"], row["version"], row["origin"]) == ("on", "0.1.0", f"package try-{kind}"), row
        assert f"try-{kind}" in row["offers"][offered]


@pytest.mark.timeout(LIMIT_S + 20)
def test_each_passes_its_own_tests(place: Place, tmp_path: Path) -> None:
    plugins = ("randomly", "schemathesis", "hypothesispytest", "xdist", "cacheprovider")
    off = [word for name in plugins for word in ("-p", f"no:{name}")]
    said = place.python(
        "-m",
        "pytest",
        "-q",
        "--strict-markers",
        "--import-mode=importlib",
        *off,
        place.projects,
        cwd=tmp_path,
    )
    passed = said.splitlines()[-1]
    assert "passed" in passed
    assert "skipped" not in passed


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty working folder, whose data directory stands elsewhere."""
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_the_next_commands_are_told(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "new", "Crisp.Edges", "--kind", "upscaler"]) == 0
    commands = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert commands[0] == "cd crisp-edges"
    assert commands[1].endswith("pip install -e '.[test]'")
    assert commands[2].endswith("pytest")
    written = {file.relative_to(desk).as_posix() for file in desk.rglob("*") if file.is_file()}
    assert written == {
        f"crisp-edges/{name}"
        for name in (
            "README.md", "pyproject.toml", "src/crisp_edges/__init__.py", "src/crisp_edges/py.typed",
            "tests/test_crisp_edges.py",
        )
    }  # fmt: skip
    assert (desk / "crisp-edges").stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


@pytest.mark.parametrize("kind", PLUGIN_KINDS)
def test_a_single_file_is_a_plugin_of_a_host_that_names_it(
    kind: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plugins", "new", "lone-one", "--kind", kind, "--single-file"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (desk / "plugins.toml").write_text("\n".join(line.strip() for line in lines if line.startswith("  ")))
    assert run(["plugins", "list", "--json"]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "lone_one"]
    assert (row["status"], row["version"]) == ("on", "0.1.0"), row["reason"]
    assert "lone-one" in row["offers"][PLUGIN_KINDS[kind]]


@pytest.mark.parametrize(
    ("name", "kind", "status", "why"),
    [
        ("two--hyphens-", "vae", 2, "letters, digits and single hyphens"),
        ("9lives", "vae", 2, "begins with a letter"),
        ("größe", "vae", 2, "letters, digits and single hyphens"),
        ("../up", "vae", 2, "letters, digits and single hyphens"),
        ("json", "vae", 2, "Python itself has that word"),
        ("lambda", "vae", 2, "Python itself has that word"),
        ("vaes", "loader", 1, "a plugin of this name is there (built-in)"),
        ("lanczos", "upscaler", 1, "the plugin 'resamplers' offers that upscaler already"),
        ("euler-a", "scheduler", 0, ""),
        ("ddim", "scheduler", 1, "the plugin 'schedulers' offers"),
        ("pytest", "vae", 1, "Python imports another module of this name"),
        ("models", "route", 1, "the host has a route of this name"),
        ("invoke", "command", 1, "the host has a command of this name"),
        ("fine", "upscalr", 2, "'upscalr' is not one of"),
    ],
)
def test_names_that_are_taken_or_cannot_be(
    desk: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str, status: int, why: str
) -> None:
    assert run(["plugins", "new", name, "--kind", kind]) == status
    assert why in capsys.readouterr().err
    assert len(list(desk.iterdir())) == (status == 0)


@pytest.mark.parametrize("more", [[], ["--single-file"]])
def test_what_is_there_already_stays_as_it_is(
    desk: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    (desk / "mine").mkdir()
    (desk / "mine.py").write_text("precious")
    (desk / "mine" / "notes.txt").write_text("precious")
    assert run(["plugins", "new", "mine", "--kind", "vae", *more]) == 1
    assert "is there already; remove it" in capsys.readouterr().err
    assert sorted(file.name for file in desk.rglob("*")) == ["mine", "mine.py", "notes.txt"]


def test_nothing_stays_of_a_project_that_cannot_be_written(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    assert run(["plugins", "new", "mine", "--kind", "vae"]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list(desk.iterdir()) == []


DRAWS = """
import shutil
import torch
from pathlib import Path
from safetensors.torch import load_file, save_file
from stretto.api.app import build_app
from stretto.api.cli.main import run
from stretto.api.entities import open_database
from stretto.api.store import PonyJobStore
from stretto.api.testing import ApiClient
from stretto.host import Adapter, ControlRequest, ImageRef, InvocationRequest
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from PIL import Image

SMALL = {"prompt": "a red circle", "width": 64, "height": 64, "num_inference_steps": 2, "seed": 1}

def draw(host, **more):
    done = host.run_here(host.plan(InvocationRequest(**SMALL, **more)))
    with Image.open(host.folders.images / done.images[0]) as image:
        return done, image.mode, image.size

folders = Folders(Path("data").absolute())
folders.create()
with Host.open(folders, Settings(precision="float32"), plugins_file=Path("plugins.toml")) as host:
    starter = Path(host.offers("models")["starter"].path)
    companion = starter.parent / "companions" / "canny-controlnet"
    shutil.copytree(companion, folders.model_folder("controlnet") / companion.name)
    shutil.copytree(starter / "vae", folders.model_folder("vae") / "try-vae")
    ema = shutil.copytree(starter, folders.model_folder("diffusers") / "starter.ema")
    for file in ema.rglob("*.safetensors"):
        file.rename(file.with_suffix(".ema.safetensors"))
    layer = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    outputs = len(load_file(starter / "unet" / "diffusion_pytorch_model.safetensors")[f"{layer}.weight"])
    name = "lora_unet_" + layer.replace(".", "_")
    vector = {f"{name}.weight": torch.full((outputs, 1), 0.5), f"{name}.on_input": torch.tensor([0])}
    save_file(vector, folders.model_folder("lycoris") / "mine.ia3.safetensors")
    Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 50).convert("RGB").save("control.png")
    control = ImageRef(path=str(Path("control.png").absolute()), width=64, height=64, mode="RGB", sha256="")

    all_at_once = {
        "model": "starter.ema", "scheduler": "try-scheduler", "vae": "try-vae", "remove_background": True,
        "upscale": ("try-upscaler",), "outscale": 2, "lycoris": (Adapter(model="mine.ia3.safetensors"),),
        "controlnets": tuple(ControlRequest(controlnet=net, image=control) for net in ("try-controlnet", "outlines")),
    }
    plan = host.plan(InvocationRequest(**SMALL, **all_at_once))
    methods = [one.preprocessing.method for one in plan.nodes[0].controls]
    assert methods == ["try-controlnet", "try-preprocessor"], methods
    assert plan.remover.method == "try-background"
    _, mode, size = draw(host, **all_at_once)
    assert (mode, size) == ("RGBA", (128, 128)), (mode, size)

    done, *_ = draw(host, acceleration="try-compiler", build_tensorrt=True)
    assert done.acceleration.used == ("vae_decoder",), done.acceleration

records = open_database(Path("served.db").absolute())
store = PonyJobStore(records)
with Host.open(folders, Settings(), plugins_file=Path("plugins.toml"), store=store) as host:
    app = build_app(host, store)
    assert ApiClient(host, app).get("/api/try-route/limits").data == {"most": 4}
    document = ApiClient(host, app).get("/api/openapi.json").json
    assert "/api/try-route" in document["paths"]
    app.close()
records.close()

words = ["a red circle", "--seeds", "1", "--steps", "2", "--out", "sheet.png"]
assert run(["try-command", *words, "--plugins", "plugins.toml", "--data-dir", "data"]) == 0
assert Path("sheet.png").is_file()
"""


def test_invocations_use_them_all(place: Place, tmp_path: Path) -> None:
    (tmp_path / "draws.py").write_text(DRAWS)
    (tmp_path / "plugins.toml").write_text('[host]\npaths = ["outlines.py"]\n')
    source = 'sources={Family.SD1: "https://example.org/outlines"}'
    (tmp_path / "outlines.py").write_text(
        dedent(f"""
        from stretto.host import ControlNetSpec, Family, hookimpl

        @hookimpl
        def register_controlnets():
            weights = {{Family.SD1: ("canny-controlnet",)}}
            return [
                ControlNetSpec(name="outlines", weights=weights, {source}, preprocessor="try-preprocessor")
            ]
        """)
    )
    place.python("draws.py", cwd=tmp_path)
