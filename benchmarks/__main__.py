"""`python -m benchmarks`: every figure, one table; `--save` keeps it with date and machine."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import answering, canvases, service
from .authors import authors
from .engines import engine_calls, engine_keys, engine_starts
from .enlarging import enlarging
from .isolation import isolation
from .load import load
from .models import mini_sd15
from .plugins import plugins
from .report import Row, machine, save, table
from .server import running
from .switching import lora_drawing, lora_switch
from .wrk import require_wrk

ROOT = Path(__file__).resolve().parent.parent
STARTER = ROOT / "plugins" / "starter" / "model"
CACHE = ROOT / ".cache" / "benchmarks"


GROUPS = (
    "start",
    "lora",
    "enlarging",
    "canvases",
    "ratios",
    "answers",
    "engine-keys",
    "engine-calls",
    "engine-starts",
    "isolation",
    "plugins",
    "authors",
    "load",
)


def _started(_out: Path) -> list[Row]:
    return [answering.command_start(), *answering.server_start()]


def _mini() -> Path:
    return mini_sd15(CACHE / "mini-sd15", STARTER / "tokenizer")


def _lora(out: Path) -> list[Row]:
    mini = _mini()
    rows = [*lora_switch(STARTER, "starter", out), *lora_switch(mini, "mini SD 1.5", out)]
    return [*rows, lora_drawing(mini, "mini SD 1.5", out)]


def _canvases(_out: Path) -> list[Row]:
    return [canvases.window_batches(STARTER), *canvases.region_modes()]


def _ratios(out: Path) -> list[Row]:
    data_dir, rows = out / "data", []
    shutil.copytree(_mini(), data_dir / "models" / "diffusers" / "mini-sd15")
    with running(data_dir, {"precision": "float32"}) as server:
        for model, folder, label in (("starter", STARTER, "starter"), ("mini-sd15", _mini(), "mini SD 1.5")):
            with service.bare(folder, out) as peer:
                rows += service.compare(server, peer, model, label)
    return rows


def _answers(out: Path) -> list[Row]:
    with running(out / "answers", {"precision": "float32"}) as server:
        server.invoke({"model": "starter", "prompt": "a blue star", "num_inference_steps": 1})
        return answering.calls_while_busy(server, "starter")


def _measured(groups: Sequence[str]) -> list[Row]:
    measure: dict[str, Callable[[Path], list[Row]]] = dict(
        zip(
            GROUPS,
            (
                _started,
                _lora,
                enlarging,
                _canvases,
                _ratios,
                _answers,
                engine_keys,
                engine_calls,
                engine_starts,
                isolation,
                plugins,
                authors,
                load,
            ),
            strict=True,
        )
    )
    rows: list[Row] = []
    for name in GROUPS:
        if name in groups:
            with tempfile.TemporaryDirectory() as folder:
                rows += measure[name](Path(folder))
    return rows


def main() -> None:
    """Measure, print, and exit with 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/<date>.{json,md}")
    parser.add_argument("--quick", action="store_true", help="start-up figures only, as --only start")
    parser.add_argument("--only", action="append", choices=GROUPS, help="one group; may be given again")
    options = parser.parse_args()
    groups = ("start",) if options.quick else options.only or GROUPS
    if "load" in groups:
        require_wrk()
    rows = _measured(groups)
    print(f"{machine()}\n\n{table(rows)}")
    if options.save:
        print(f"\nsaved: {save(rows, ROOT / 'benchmarks' / 'results')}")
    raise SystemExit(0 if all(row.holds for row in rows) else 1)


if __name__ == "__main__":
    main()
