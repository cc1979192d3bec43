"""A data directory that may only be read: one clear sentence from each command, and nothing half done."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from stretto.host.settings import Folders

BINARY = Path(sys.executable).with_name("stretto")
_PR_CAPBSET_DROP = 24  # linux/prctl.h
_FILE_CAPABILITIES = (
    1,
    2,
    3,
)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER: root heeds modes without them

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="takes capabilities away from root")


@pytest.fixture
def data(tmp_path):
    folders = Folders(tmp_path / "data")
    folders.create()
    everything = [folders.root, *folders.root.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    yield folders
    for path in everything:
        path.chmod(path.stat().st_mode | 0o200)


def heeding_modes():
    if os.getuid() == 0:
        for capability in _FILE_CAPABILITIES:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def stretto(*words, data):
    command = [BINARY, *words, "--data-dir", data.root]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, preexec_fn=heeding_modes,
    )  # fmt: skip


def test_a_server_does_not_start(data):
    answer = stretto("serve", "--port", "0", data=data)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.strip() == (
        f"stretto: ConfigurationError: the data directory {data.root} cannot be used (Permission denied); "
        "name another one with --data-dir, in which you may write"
    )


def test_nothing_is_drawn_that_could_not_be_kept(data):
    answer = stretto("invoke", "a red circle", data=data)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.splitlines()[-1] == (
        f"stretto: ConfigurationError: nobody may write to {data.images}, where pictures are kept; "
        "make it writable, or name another data directory"
    )
    assert "Traceback" not in answer.stderr
    assert not list(data.images.iterdir())


def test_a_plan_is_shown_all_the_same(data):
    answer = stretto("invoke", "a red circle", "--dry-run", data=data)
    assert answer.returncode == 0
    assert '"prompt": "a red circle"' in answer.stdout


def test_one_that_lacks_its_folders_is_refused(data):
    data.root.chmod(0o700)
    data.images.rmdir()
    data.root.chmod(0o500)
    answer = stretto("invoke", "a red circle", data=data)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        f"stretto: ConfigurationError: the data directory {data.root} cannot be used (Permission denied: "
        f"{data.images}); name another one, in which you may write"
    )
    data.root.chmod(0o700)
    data.images.mkdir()
