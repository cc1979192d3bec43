"""What happens when memory is full, in a process whose allocations really fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stretto.host.runtime.limits import usable_ram_bytes
from stretto.host.testing.tiny import make_tiny_sd1

SCRIPT = Path(__file__).parent / "full_memory.py"
TILES, ROWS, OFFLOAD = "in tiles of 256 px", "one sample at a time", "1 idle models were let go of"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    if sys.platform != "linux":
        pytest.skip("allocations fail at a limit on Linux alone")
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("one", "two")):
        make_tiny_sd1(root / "models" / "diffusers" / name, seed=seed)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(root)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_machine_is_bounded_by_its_ram(told: Any) -> None:
    assert told["bound"] == usable_ram_bytes()


def test_the_vae_goes_on_in_smaller_tiles(told: Any) -> None:
    (rung,) = told["tiles"]["rungs"]
    assert TILES in rung
    (note,) = [note for note in told["tiles"]["notes"] if note.startswith("the memory was full")]
    assert (
        note
        == f"the memory was full at 'draw 512 x 512 px from the prompt, 1 steps in 64 windows': again, and {rung}"
    )
    assert told["tiles"]["most"] > 0  # or it did not work in tiles at all


def test_samples_one_after_another_are_the_same_pictures(told: Any) -> None:
    notes = [note for note in told["rows"]["notes"] if note.startswith("the memory was full")]
    assert [TILES in notes[0], ROWS in notes[1]] == [True, True]
    assert len(notes) == 2
    # another number of rows in a call adds up in another order, which turns a rounding here and there
    assert told["rows"]["most"] <= 1
    assert told["rows"]["mean"] < 1e-3


def test_what_was_tried_is_told_before_it_gives_up(told: Any) -> None:
    words = told["refusal"]
    assert words.index(TILES) < words.index(ROWS) < words.index(OFFLOAD)
    assert "drawing 40 x 128 x 128 px" in words
    assert "ask for a smaller width and height or fewer samples" in words
    assert f"{told['bound']} bytes (setting memory_limit_bytes)" in words


def test_the_next_job_finds_everything_in_order(told: Any) -> None:
    assert not [note for note in told["after"] if "full" in note]
