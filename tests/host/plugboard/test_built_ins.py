"""The built-in plugins, on a board of their own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from stretto.host.plugboard.discover import BUILT_INS

LISTING = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from stretto.host.plugboard.board import Board
from stretto.host.plugboard.switches import Switches
from stretto.host.settings import Folders, Settings
switches = Switches(autoload=False)
view = SimpleNamespace(version="0", settings=Settings(), folders=Folders(Path(sys.argv[1])),
                       plugin_settings=switches.plugin_settings)
board = Board.open(switches, view)
board.start()
rows = board.rows()
heavy = {"torch", "diffusers", "transformers", "tensorrt", "onnxruntime", "numpy"} & set(sys.modules)
print(",".join(row.name for row in rows), ",".join(row.name for row in rows if row.status != "on"), time.process_time())
print(",".join(sorted(heavy)))
"""


def test_the_built_in_plugins_come_up_light_and_fast(tmp_path: Path) -> None:
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    done = run([sys.executable, "-c", LISTING, str(tmp_path)], capture_output=True, text=True, check=True)
    summary, heavy = done.stdout.splitlines()
    names, broken, seconds = summary.split(" ")
    assert names == ",".join(BUILT_INS)
    assert broken == "", done.stderr
    assert heavy == ""
    assert float(seconds) < 1.5  # of a slow processor
