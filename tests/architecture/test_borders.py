"""Who may import whom: import contracts, dotted names, light values, and what a plain start may load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "host", "plugins", "trt_cache")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
HEAVY = ("torch", "diffusers", "transformers", "tensorrt", "onnxruntime", "accelerate", "compel")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _python(code: str, *, cwd: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_contracts_are_kept(tmp_path: Path) -> None:
    links = tmp_path / "stretto"
    links.mkdir()
    for room in ROOMS:
        (links / room).symlink_to(ROOT / room)
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--config", ROOT / "pyproject.toml", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Ruff's TID251 cannot say this: it resolves our relative imports to the bare names; see docs/adr.
@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_are_relative_inside_a_folder_and_dotted_across(path: Path) -> None:
    room = _name(path).split("/")[0]
    depth = len(path.relative_to(ROOT / room).parts)
    faults = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.ImportFrom) and node.level > depth:
            faults.append(f"line {node.lineno}: a relative import leaves {room}/")
            continue
        else:
            continue
        for name in names:
            if name.split(".")[0] in ROOMS:
                faults.append(f"line {node.lineno}: '{name}' is a bare name, write 'stretto.{name}'")
            if name == f"stretto.{room}" or name.startswith(f"stretto.{room}."):
                faults.append(f"line {node.lineno}: '{name}' is in the same folder, import it relatively")
    assert faults == []


NETWORKS = (
    *(f"plugins/faces/{name}.py" for name in ("detection", "network", "parsing", "restoring")),
    *(f"plugins/compilers/{name}.py" for name in ("cuda_graphs", "tensorrt_running", "torch_blocks")),
)


def test_only_the_engine_imports_heavy_libraries_at_module_level() -> None:
    faults = []
    for path in FILES:
        # what a plugin's own networks and open engines are made of; its offer imports them when one is opened
        if _name(path).startswith(("host/engine/", "host/steps/", *NETWORKS)):
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            faults += [f"{_name(path)}: {name}" for name in names if name.split(".")[0] in HEAVY]
    assert faults == []


def test_plugin_authors_surface_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, stretto.host, stretto.host.hookspecs, stretto.host.errors, stretto.host.settings\n"
        f"print([name for name in {(*HEAVY, 'PIL', 'pydantic', 'pony', 'bottle')!r} if name in sys.modules])"
    )
    assert _python(code, cwd=tmp_path).strip() == "[]"


def test_starting_the_host_and_listing_plugins_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

host = Host.open(Folders(Path("data").absolute()), Settings())
rows = host.plugins()
host.close()
print(sorted(row.name for row in rows if row.status == "on"))
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    on, heavy = _python(code, cwd=tmp_path).splitlines()
    assert "starter" in on
    assert heavy == "[]"
