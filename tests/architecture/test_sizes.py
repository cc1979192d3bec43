"""House sizes: files and functions stay small, in the package and around it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Everything of ours in Python, tests and scripts included; only the first sentence is not asked of tests.
FOLDERS = ("api", "benchmarks", "docs", "examples", "host", "plugins", "tests", "training", "trt_cache")
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if ".work" not in path.parts
)
BANNED = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "core"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_file_and_its_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    long_functions = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert long_functions == []


@pytest.mark.parametrize("path", [path for path in FILES if not _name(path).startswith("tests/")], ids=_name)
def test_file_says_its_subject_first(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "a file opens with one sentence"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_file_name_says_what_is_in_it(path: Path) -> None:
    assert not set(path.stem.strip("_").split("_")) & BANNED
