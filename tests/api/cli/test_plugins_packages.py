"""`stretto plugins install` and `remove`, in an environment of the test's own, with wheels of real packages."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HEAD = "from stretto.host import UpscalerSpec, hookimpl\n@hookimpl\ndef register_upscalers(host):\n"
OFFER = HEAD + "    return [UpscalerSpec(name={name!r}, build=lambda device: None)]\n"


def wheel(folder: Path, package: str, plugins: dict[str, str], version: str = "1.0") -> Path:
    """Write a wheel (PEP 427) with a module for each plugin; `plugins` are what each offers."""
    folder.mkdir(exist_ok=True)
    under = package.replace("-", "_")
    info = f"{under}-{version}.dist-info"
    files = {f"{under}_{name}.py": OFFER.format(name=offer) for name, offer in plugins.items()}
    files |= {f"{under}.py": ""}
    entries = "\n".join(f"{name} = {under}_{name}" for name in plugins)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if plugins:
        files[f"{info}/entry_points.txt"] = f"[stretto]\n{entries}\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    path = folder / f"{under}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@dataclass(frozen=True)
class Place:
    """An environment that has all of the tests' one, and a data directory."""

    root: Path
    python: Path

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [
            self.python,
            "-m",
            "stretto.api.cli.main",
            "plugins",
            *words,
            "--data-dir",
            self.root / "data",
        ]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def install(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [self.python, "-m", "stretto.api.cli.main", "plugins", "install", *words[:1]]
        command += ["--data-dir", self.root / "data", *words[1:], "--", "--no-index"]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(self.run("list", "--json").stdout)}

    @property
    def file(self) -> Path:
        return self.root / "data" / "plugins.toml"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("packages")
    (root / "data").mkdir()  # which the first command would make, and any test may be the first
    venv.create(root / "env", symlinks=True)
    (site,) = (root / "env" / "lib").glob("python*/site-packages")
    own = sysconfig.get_path("purelib")
    (site / "beside.pth").write_text(f"import site; site.addsitedir({own!r})\n")
    return Place(root, root / "env" / "bin" / "python")


def test_a_package_comes_is_set_and_goes(place: Place) -> None:
    both = wheel(place.root / "wheels", "stretto-both", {"left": "left", "right": "right"})
    done = place.install(both)
    assert done.returncode == 0, done.stderr
    assert "Successfully installed stretto-both-1.0" in done.stderr  # pip's words, as they came
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["left", "1.0", "package", "stretto-both", "on", "upscalers:", "left"] in lines
    assert ["right", "1.0", "package", "stretto-both", "on", "upscalers:", "right"] in lines
    stamp = place.root / "data" / ".plugins-changed"
    before = stamp.stat().st_mtime_ns
    place.file.write_text('# kept\n[host]\ndisable = ["left", "vaes"]\norder = ["right"]\n')
    newer = wheel(place.root / "wheels", "stretto-both", {"left": "left", "right": "right"}, "1.1")
    assert "1.1" in place.install(newer, "--upgrade").stdout
    done = place.run("remove", "left")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{place.file} says nothing of left, right any more\n"
    assert place.file.read_text() == '# kept\n[host]\ndisable = ["vaes"]\norder = []\n'
    assert stamp.stat().st_mtime_ns > before
    assert {"left", "right"} & set(place.rows()) == set()
    place.file.unlink()


def test_what_is_no_plugin_is_not_installed(place: Place) -> None:
    plain = wheel(place.root / "wheels", "plain-package", {})
    done = place.install(plain)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "stretto: PluginError: plain-package has no entry point in the group 'stretto', so it is no plugin; nothing was "
        "installed"
    )
    assert "Successfully installed" not in done.stderr
    absent = place.install("no-such-package-anywhere")
    assert absent.returncode == 1
    assert absent.stderr.splitlines()[-1] == (
        "stretto: PluginError: pip wheel failed (exit code 1); what it said stands above"
    )


def test_a_package_that_clashes_goes_again(place: Place) -> None:
    clashing = wheel(place.root / "wheels", "stretto-clashing", {"mine": "lanczos"})
    done = place.install(clashing)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "stretto: StateConflictError: stretto-clashing was uninstalled again, for with it the plugins 'mine' (package "
        "stretto-clashing) and 'resamplers' (built-in) both offer the upscaler 'lanczos'; disable the other one first: "
        "stretto plugins disable NAME"
    )
    assert "mine" not in place.rows()


def test_a_release_that_clashes_makes_way_for_the_one_before(place: Place) -> None:
    wheels = place.root / "wheels"
    assert place.install(wheel(wheels, "stretto-later", {"late": "late"})).returncode == 0
    clashing = wheel(wheels, "stretto-later", {"late": "lanczos"}, "2.0")
    done = place.install(clashing, "--upgrade")
    assert done.stderr.splitlines()[-1].startswith(
        "stretto: StateConflictError: stretto-later 1.0 was installed again, for with 2.0 the plugins 'late' (package "
    )
    assert place.rows()["late"]["version"] == "1.0"
    assert place.run("remove", "late").returncode == 0


def test_what_is_no_package_is_not_removed(place: Place) -> None:
    (place.root / "single.py").write_text(OFFER.format(name="single"))
    place.file.write_text(f'[host]\npaths = ["{place.root}/single.py"]\norder = ["gone"]\n')
    done = place.run("remove", "single")
    assert done.stderr == (
        f"stretto: StateConflictError: the plugin 'single' is the file {place.root}/single.py, which is not deleted; take "
        f"it out of [host] paths in {place.file}, or turn it off: stretto plugins disable single\n"
    )
    assert "the plugin 'vaes' comes with the host; turn it off" in place.run("remove", "vaes").stderr
    assert "there is no plugin 'singel'; did you mean 'single'?" in place.run("remove", "singel").stderr
    assert place.run("list").returncode == 1  # for what the file says of a plugin that is gone
    assert place.run("remove", "gone").stdout == f"{place.file} says nothing of gone any more\n"
    assert place.rows()["single"]["status"] == "on"
    place.file.unlink()
    assert os.access(place.root / "single.py", os.R_OK)
