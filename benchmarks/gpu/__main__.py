"""`python -m benchmarks.gpu`: torch and every compiler on random full-size SD 1.5 and SDXL, beside the targets.

Group `networks`: steps are the UNet's calls, with guidance two rows a picture; the rest of a picture is the VAE's
decoding. Group `service`: our server over HTTP against the same pipeline in-process. Group `switch`: from one model
to the other in a server.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stretto.host import Precision
from stretto.host.testing.full_size import SIZES_PX

from ..report import machine
from .targets import Figure, Measured, judged
from .ways import names

TINY_PX = 64
RESULTS = Path(__file__).resolve().parent.parent / "results"
GROUPS = ("networks", "service", "switch")
NO_GPU = "There is no NVIDIA GPU that torch can use here; `--tiny --device cpu` tries the commands out without one."


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where there is no GPU."""
    options = _options(arguments)
    import torch

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 1
    on_gpu = options.device.startswith("cuda")
    options.precision = options.precision or ("bfloat16" if on_gpu else "float32")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if options.only == ["reopen"]:
            from .networks import reopened

            kind = options.models.split(",")[0]
            print(reopened(kind, folder / kind, options))
            return 0
        card = torch.cuda.get_device_name(options.device) if on_gpu else "the CPU"
        about = f"torch {torch.__version__} on {card}, {options.precision}; {machine()}"
        print(about, flush=True)
        found, figures, rows = _groups(folder, options)
    lines = [line for group in rows.values() for line in ("", *_table(group))]
    if not options.tiny:
        lines += ["", "Targets are those of one H200:", "", *_table(judged(found, figures))]
    print("\n".join(lines))
    if options.save:
        print(f"\nsaved: {_save(about, lines)}")
    return 0


def _groups(
    folder: Path, options: argparse.Namespace
) -> tuple[list[Measured], list[Figure], dict[str, list[Mapping[str, str]]]]:
    """Measure the groups that were asked for; each row is printed as it comes."""
    found: list[Measured] = []
    figures: list[Figure] = []
    rows: dict[str, list[Mapping[str, str]]] = {}

    def keep(group: str, row: Mapping[str, str]) -> None:
        print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        rows.setdefault(group, []).append(row)

    kinds = options.models.split(",")
    for kind in kinds:
        size_px = TINY_PX if options.tiny else SIZES_PX[kind]
        if "networks" in options.only:
            from .networks import networks

            for row, measured in networks(kind, folder / kind, options):
                keep("networks", row)
                found += measured
        if "service" in options.only:
            from .service import service

            row, more = service(kind, folder / f"service-{kind}", options, size_px, options.steps)
            keep("service", row)
            figures += more
    if "switch" in options.only:
        from .switch import switch

        for row, more in switch(folder / "switch", options):
            keep("switch", row)
            figures += more
    return found, figures + _compiled(found), rows


def _compiled(found: Sequence[Measured]) -> list[Figure]:
    """Give what torch.compile took, cold and in a second process."""
    cold = [one for one in found if one.way == "torch_compile" and one.build_s is not None]
    again = [(one, one.again_s) for one in found if one.way == "torch_compile"]
    return [
        *(
            Figure(name="cold", value=(one.build_s or 0.0) + one.open_s + one.first_s, by=one.model)
            for one in cold
        ),
        *(Figure(name="cached", value=value, by=one.model) for one, value in again if value is not None),
    ]


def _save(about: str, lines: Sequence[str]) -> Path:
    """Write the tables as `gpu-DATE.md`, a day's second as `gpu-DATE-2.md`."""
    today = datetime.now(tz=UTC).date().isoformat()
    names = [f"gpu-{today}", *(f"gpu-{today}-{number}" for number in range(2, 100))]
    page = next(file for name in names if not (file := RESULTS / f"{name}.md").exists())
    page.write_text(f"# {page.stem}\n\n{about}.\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return page


def _ways(text: str) -> list[str]:
    found = text.split(",")
    if unknown := sorted(set(found).difference(names())):
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {', '.join(names())}")
    return found


def _only(text: str) -> list[str]:
    found = text.split(",")
    if unknown := sorted(set(found).difference((*GROUPS, "reopen"))):
        raise argparse.ArgumentTypeError(f"'{unknown[0]}' is none of {', '.join(GROUPS)}")
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default=",".join(SIZES_PX), help="sd15, sdxl or both with a comma")
    parser.add_argument("--ways", type=_ways, default=list(names()), help="of " + ", ".join(names()))
    parser.add_argument("--batches", default="1,4,8,16", help="pictures at once")
    parser.add_argument("--precision", choices=[str(one) for one in Precision], help="bfloat16 on a GPU")
    parser.add_argument("--only", type=_only, default=list(GROUPS), help="of " + ", ".join(GROUPS))
    parser.add_argument("--steps", type=int, default=20, help="of a picture over HTTP")
    parser.add_argument(
        "--queued", type=int, default=64, help="the most jobs that wait at once: 1, 4, 16 or 64"
    )
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/gpu-<date>.md")
    parser.add_argument(
        "--tiny", action="store_true", help="narrow networks at 64 px, to try the command out"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        help="keep engines here; a second run tells what opening them takes another process",
    )
    return parser.parse_args(arguments)


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([str(row.get(name, "")) for name in columns] for row in rows)]
    lines = ["| " + " | ".join(line) + " |" for line in cells]
    return [lines[0], "|" + "---|" * len(columns), *lines[1:]]


if __name__ == "__main__":
    sys.exit(main())
