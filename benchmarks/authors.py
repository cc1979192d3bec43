"""The author's five minutes: from nothing to a plugin that is written, installed, tested, checked and drawn with.

Each command runs as an author types it, in a virtual environment of its own that sees what is installed here.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import time
from pathlib import Path

from .report import Row

__all__ = ["authors"]

BOUND_S = 300
NAME = "crisp"
STRETTO = ("-m", "stretto.api.cli.main")
PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation")
DRAWN = ("--set", f"upscale={NAME}", "--set", "outscale=2", "--set", "num_inference_steps=10", "--out", ".")
# What is typed, and the words after `python`; all but the first in the project's folder.
PATH = (
    (f"stretto plugins new {NAME} --kind upscaler", (*STRETTO, "plugins", "new", NAME, "--kind", "upscaler")),
    ("pip install -e .", (*PIP, "--editable", ".")),
    ("pytest", ("-m", "pytest", "-q", "-p", "no:schemathesis", "-p", "no:hypothesispytest")),
    ("stretto plugins list", (*STRETTO, "plugins", "list")),
    ("stretto plugins check .", (*STRETTO, "plugins", "check", ".")),
    (
        f"stretto invoke --set upscale={NAME}",
        (*STRETTO, "invoke", "a red circle on a blue background", *DRAWN),
    ),
)


def authors(out: Path) -> list[Row]:
    """Go the whole way once; raises CalledProcessError for a command that fails."""
    python = _environment(out / "venv")
    taken: list[float] = []
    for typed, words in PATH:
        folder = out if not taken else out / NAME
        start = time.perf_counter()
        said = _run(python, words, folder, out / "data")
        taken.append(time.perf_counter() - start)
        print(f"{taken[-1]:6.2f} s  {typed}  ->  {said.strip().splitlines()[-1] if said.strip() else 'done'}")
    steps = ", ".join(f"{seconds:.1f} s {typed}" for (typed, _), seconds in zip(PATH, taken, strict=True))
    return [
        Row(name="from an idea to a tested package", value=sum(taken), bound=BOUND_S, unit="s", detail=steps)
    ]


def _environment(folder: Path) -> Path:
    """Make a virtual environment over what is installed here, and give its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    words = "import site; print(site.getsitepackages()[0])"
    own = subprocess.run([python, "-c", words], check=True, capture_output=True, text=True).stdout.strip()
    lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages())
    (Path(own) / "host.pth").write_text(lines, encoding="utf-8")
    return python


def _run(python: Path, words: tuple[str, ...], folder: Path, data: Path) -> str:
    environment = {**os.environ, "STRETTO_DATA_DIR": str(data), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [python, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
    done.check_returncode()
    return done.stdout
