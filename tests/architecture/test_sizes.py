"""House sizes: files and functions stay small, in the package and around it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Tests and the docs generator are held to the file limit as well; tests' functions too.
FOLDERS = ("api", "benchmarks", "docs", "examples", "host", "plugins", "tests", "training", "trt_cache")
FILES = sorted(
    path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if ".work" not in path.parts
)
BANNED = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc", "core"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def name_of(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_has_one_subject_said_first_and_stays_small(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    long_functions = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert ast.get_docstring(tree), "a file opens with one sentence that names its subject"
    assert len(text.splitlines()) <= MAX_FILE_LINES
    assert long_functions == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_name_says_what_is_in_it(path):
    words = set(path.stem.strip("_").split("_"))
    assert not words & BANNED
