"""The page at /api/docs: its script is one that browsers read, and it needs nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from stretto.api.reference_page import PAGE

TEXT = PAGE.decode()


@pytest.mark.skipif(shutil.which("node") is None, reason="the script is read by Node, which is not installed")
def test_the_script_is_read(tmp_path):
    (script,) = re.findall(r"<script>(.*?)</script>", TEXT, re.DOTALL)
    file = tmp_path / "page.js"
    file.write_text(script, encoding="utf-8")
    done = subprocess.run(["node", "--check", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_script_finds_what_it_looks_for():
    wanted = set(re.findall(r'getElementById\("(\w+)"\)', TEXT))
    assert wanted
    assert wanted <= set(re.findall(r'id="(\w+)"', TEXT))


def test_nothing_is_loaded_from_elsewhere():
    assert "default-src 'none'; connect-src 'self'" in TEXT
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", TEXT) == ["openapi.json", "problems"]
    assert re.findall(r"fetch\(\"([^\"]*)\"\)", TEXT) == ["openapi.json"]
    assert "innerHTML" not in TEXT  # words of plugins are text, never markup
