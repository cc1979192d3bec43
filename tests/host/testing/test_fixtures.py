from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stretto.host import InvocationRequest
from stretto.host.errors import ConfigurationError, PluginError
from stretto.host.testing.trial import subjects_of

# A plugin that enlarges by repeating pixels, and says how dark its lines are.
MINE = """
from dataclasses import dataclass

from stretto.host import UpscalerSpec, hookimpl


@dataclass(frozen=True)
class Settings:
    darkness: float = 0.5


class Repeated:
    def upscale(self, image, amount):
        return image.resize((image.width * amount, image.height * amount), 0)


@hookimpl
def register_upscalers(host):
    title = f"darkness {host.plugin_settings('mine', Settings).darkness}"
    return [UpscalerSpec(name="mine", title=title, build=lambda device: Repeated())]
"""
QUICK = InvocationRequest(prompt="a red circle", seed=1, num_inference_steps=1, outscale=2, upscale=("mine",))
PLUGINS = ("stretto.api.testing", "stretto.host.testing.fixtures")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_they_import_next_to_nothing() -> None:
    code = f"""
import json, sys
import pytest
from importlib import import_module
before = set(sys.modules)
for name in {PLUGINS}:
    import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    others = {name.partition(".")[0] for name in json.loads(told)} - {"stretto"} - sys.stdlib_module_names
    assert others <= {"annotated_types", "typing_extensions"}
    ours = [name for name in json.loads(told) if name.startswith(("stretto.api.", "stretto.plugins"))]
    assert ours == ["stretto.api.testing"]


def test_an_authors_tests_have_them_without_a_conftest(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "--fixtures", "-W", "error")
    for name in ("host", "open_host", "starter", "tiny_sd15", "tiny_sdxl", "client"):
        assert f"\n{name} " in done.stdout, done.stdout


def test_the_ini_file_names_what_is_not_installed(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nstretto_plugins = mine.py\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n\n"
        "@pytest.mark.stretto(tables={'mine': {'darkness': 0.25}})\n"
        "def test_it(host):\n"
        "    assert host.offer('upscalers', 'mine').title == 'darkness 0.25'\n"
    )
    done = pytest_in(tmp_path, "--strict-markers")
    assert done.returncode == 0, done.stdout


@pytest.mark.stretto(settings={"max_queued_invocations": 7})
def test_the_mark_says_the_settings(host: Any) -> None:
    assert host.settings.max_queued_invocations == 7


def test_a_file_draws_here(mine: Path, open_host: Callable[..., Any], starter: Path) -> None:
    host = open_host(plugins=[mine])
    done = host.run_here(host.plan(QUICK))
    assert len(done.images) == 1


def test_a_project_draws_in_the_worker(
    mine: Path, open_host: Callable[..., Any], job_memory: Any, starter: Path
) -> None:
    (mine.parent / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "3.1"\n[project.entry-points.stretto]\nmine = "mine"\n'
    )
    host = open_host(plugins=[mine.parent], store=job_memory)
    (row,) = [row for row in host.plugins() if row.name == "mine"]
    assert (row.version, row.origin) == ("3.1", "package mine")
    job = host.submit(host.plan(QUICK))
    assert job_memory.until_ended(job.uuid).images
    assert sys.path.count(str(mine.parent)) == 1
    sys.modules.pop("mine")


def test_a_plugin_that_is_not_on_is_said(tmp_path: Path, open_host: Callable[..., Any]) -> None:
    (tmp_path / "torn.py").write_text("import no_such_module\n")
    with pytest.raises(PluginError, match=r"'torn' is broken: ModuleNotFoundError.*no_such_module"):
        open_host(plugins=[tmp_path / "torn.py"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("schedulres", "is no file, no project's folder, no module and no plugin's name"),
        ("away.py", "there is no file away.py"),
    ],
)
def test_what_is_no_plugin_is_said(word: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        subjects_of(word)


def test_a_project_without_plugins_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"has no pyproject\.toml"):
        subjects_of(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    with pytest.raises(ConfigurationError, match=r"write a table \[project\.entry-points\.stretto\]"):
        subjects_of(tmp_path)
