"""Every fenced block of README and docs parses, and those that are marked run.

The words after the language say it: `run` is run, `server` is run with a server on the documented
address, `file=NAME` is written to NAME first. A document's blocks run in order in one folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<lang>\w*)(?P<marks>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:45555"  # where the documents say that the server is
BINARIES = Path(sys.executable).parent
START_TIMEOUT_S = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: `line` counts from 1, `marks` are the words after the language."""

    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    @property
    def file(self) -> str | None:
        names = [mark.removeprefix("file=") for mark in self.marks if mark.startswith("file=")]
        return names[0] if names else None


def _documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    return [
        Block(
            line=text.count("\n", 0, match.start()) + 1,
            language=match["lang"],
            marks=tuple(match["marks"].split()),
            text=match["text"],
        )
        for match in FENCE.finditer(text)
    ]


def _marked(document: Path) -> bool:
    return any({"run", "server"} & set(block.marks) for block in _blocks(document))


def _name(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", _documents(), ids=_name)
def test_every_block_parses(document: Path) -> None:
    for block in _blocks(document):
        where = f"line {block.line}"
        assert {mark.split("=")[0] for mark in block.marks} <= {"run", "server", "file"}, where
        match block.language:
            case "python":
                compile(block.text, f"{document.name}, {where}", "exec")
            case "sh":
                parsed = _bash(block.text, ROOT, {}, "-n")
                assert parsed.returncode == 0, f"{where}: {parsed.stderr}"
            case "toml":
                tomllib.loads(block.text)
            case "json":
                json.loads(block.text)
            case "text":
                pass
            case other:
                pytest.fail(f"{where}: a block in '{other}' is not checked; call it text")


@pytest.mark.parametrize("document", [path for path in _documents() if _marked(path)], ids=_name)
def test_marked_blocks_run(document: Path, tmp_path: Path) -> None:
    blocks = _blocks(document)
    for block in blocks:
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    for block in blocks:
        if "run" in block.marks:
            _execute(block, tmp_path, ADDRESS)
    served = [block for block in blocks if "server" in block.marks]
    if not served:
        return
    if shutil.which("curl") is None:
        pytest.skip("the documents call the server with curl, which is not installed")
    with _server(tmp_path) as address:
        for block in served:
            _execute(block, tmp_path, address)


def _execute(block: Block, folder: Path, address: str) -> None:
    text = block.text.replace(ADDRESS, address)
    environment = _environment(folder)
    if block.language == "python":
        (folder / "block.py").write_text(text, encoding="utf-8")
        text = f'"{sys.executable}" block.py'
    done = _bash(text, folder, environment, "-eu", "-o", "pipefail")
    assert done.returncode == 0, (
        f"line {block.line} exited with {done.returncode}\n{done.stdout}{done.stderr}"
    )


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "STRETTO_DATA_DIR": str(folder / "data"),
    }


def _bash(
    text: str, folder: Path, environment: dict[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *options, "-c", text],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [BINARIES / "stretto", "serve", "--host", "127.0.0.1", "--port", address.split(":")[1]]
    with (folder / "server.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **_environment(folder)}, stdout=log, stderr=log
        )
        try:
            _await(address, server, folder / "server.log")
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)


def _await(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/api", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    pytest.fail(f"the server did not answer at {address}: {log.read_text(encoding='utf-8')}")
