"""What isolated plugins started ends with them and with their host, however those end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Rough
from .test_process import _runs, _said, _until_ended


@pytest.mark.parametrize(
    "name",
    [
        "spawns",
        pytest.param(
            "escapes", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux has a warden")
        ),
    ],
)
def test_what_it_started_ends_with_it(rough: Rough, tmp_path: Path, name: str) -> None:
    plugin = rough(time_limit_s=1.0, diary=str(tmp_path / "pid"))
    assert "time_limit_s of 1 s" in _said(plugin, name)
    children = [int(pid) for pid in (tmp_path / "pid").read_text().split()]
    assert len(children) >= 1
    _until_ended(*children)


ORPHAN = """
import os, signal, sys
from pathlib import Path
from PIL import Image
from stretto.host.isolation.isolation import Isolation
from stretto.host.plugboard.switches import Switches
from stretto.host.settings import Folders, Settings

switches = Switches(tables={"rough": {"isolated": True, "diary": sys.argv[2]}})
apart = Isolation(Folders(Path(sys.argv[1])), Settings, switches, version="0.1.0", usable_bytes=lambda: 2**31)
plugin = apart.load(apart.environments()[0], "rough")
upscaler = next(spec for spec in plugin.register_upscalers() if spec.name == sys.argv[3]).build("cpu")
print(plugin.remote.pid, flush=True)
upscaler.upscale(Image.new("L", (4, 4)), 1)
"""


@pytest.mark.parametrize("name", ["spawns", "escapes"] if sys.platform == "linux" else ["hangs"])
def test_it_ends_with_a_host_that_is_killed_in_the_middle_of_a_call(
    rough_root: Path, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "diary.txt"
    command = [sys.executable, "-c", ORPHAN, str(rough_root), str(file), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pid = int(host.stdout.readline())
        deadline = time.monotonic() + 20
        while name != "hangs" and time.monotonic() < deadline and not (file.exists() and file.read_text()):
            time.sleep(0.02)
        children = [int(one) for one in file.read_text().split()] if name != "hangs" else []
        assert all(map(_runs, (pid, *children)))
        host.kill()
    _until_ended(pid, *children)
