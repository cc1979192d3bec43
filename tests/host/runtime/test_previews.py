from __future__ import annotations

import os
import time
from typing import Any

from PIL import Image
from stretto.host.runtime.previews import sweep, write_preview


def test_a_preview_is_whole_and_alone(tmp_path: Any) -> None:
    write_preview(Image.new("RGB", (8, 8), "red"), tmp_path, "a_0.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a_0.png"]
    with Image.open(tmp_path / "a_0.png") as image:
        assert image.size == (8, 8)


def test_only_old_files_go(tmp_path: Any) -> None:
    for name, age in (("old.png", 4000), ("new.png", 10)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    (tmp_path / "folder").mkdir()
    assert sweep(tmp_path) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "new.png"]
