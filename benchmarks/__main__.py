"""`python -m benchmarks`: every figure, one table; `--save` keeps it with date and machine."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from . import answering, canvases, service
from .enlarging import enlarging
from .models import mini_sd15
from .report import Row, machine, save, table
from .server import running
from .switching import lora_drawing, lora_switch

ROOT = Path(__file__).resolve().parent.parent
STARTER = ROOT / "plugins" / "starter" / "model"
CACHE = ROOT / ".cache" / "benchmarks"


def _service_rows(out: Path) -> list[Row]:
    mini = mini_sd15(CACHE / "mini-sd15", STARTER / "tokenizer")
    data_dir = out / "data"
    offered = data_dir / "models" / "diffusers" / "mini-sd15"
    shutil.copytree(mini, offered)
    rows = [*lora_switch(STARTER, "starter", out), *lora_switch(mini, "mini SD 1.5", out)]
    rows.append(lora_drawing(mini, "mini SD 1.5", out))
    rows += enlarging(out)
    rows += [canvases.window_batches(STARTER), *canvases.region_modes()]
    with running(data_dir, {"precision": "float32"}) as server:
        for model, folder, label in (("starter", STARTER, "starter"), ("mini-sd15", mini, "mini SD 1.5")):
            with service.bare(folder, out) as peer:
                rows += service.compare(server, peer, model, label)
        rows += answering.calls_while_busy(server, "starter")
    return rows


def main() -> None:
    """Measure, print, and exit with 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>.{json,md}")
    parser.add_argument("--quick", action="store_true", help="start-up figures only")
    options = parser.parse_args()
    rows = [answering.command_start(), *answering.server_start()]
    if not options.quick:
        with tempfile.TemporaryDirectory() as folder:
            rows += _service_rows(Path(folder))
    print(f"{machine()}\n\n{table(rows)}")
    if options.save:
        print(f"\nsaved: {save(rows, ROOT / 'benchmarks' / 'results')}")
    raise SystemExit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
