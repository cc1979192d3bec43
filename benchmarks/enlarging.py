"""How much memory it takes to enlarge a picture of 2048 px: the whole command, and the largest tile of a large network."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
from stretto.host.testing.networks import make_tiny_esrgan

from .report import Row

__all__ = ["enlarging"]

SIDE_PX, AMOUNT = 2048, 4
BOUND_GB = 2.5
POLL_S = 0.05


def enlarging(out: Path) -> list[Row]:
    """Measure both; a whole picture by a network of Real-ESRGAN's size would take a CPU hours, and every tile is alike."""
    return [_whole(out), _tile(out)]


def _whole(out: Path) -> Row:
    """Run `stretto invoke` on a picture that it only enlarges; gives the peak of the command and its children."""
    from PIL import Image

    data_dir = out / "enlarging"
    make_tiny_esrgan(data_dir / "models" / "upscaler" / "small.pth")
    picture = out / "large.png"
    Image.radial_gradient("L").resize((SIDE_PX, SIDE_PX)).convert("RGB").save(picture)
    asked = {
        "image": picture, "strength": 0, "chunking_size": 0, "outscale": AMOUNT, "upscale": "small.pth",
        "intermediates": False,
    }  # fmt: skip
    command = [str(Path(sys.executable).parent / "stretto"), "invoke", "a picture", "--out", str(out)]
    command += [word for name, value in asked.items() for word in ("--set", f"{name}={value}")]
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "STRETTO_DATA_DIR": str(data_dir)},
    ) as running:
        peak = _peak_bytes(running)
    if running.returncode:
        raise RuntimeError(f"the command ended with {running.returncode}: {' '.join(command)}")
    return Row(
        name=f"enlarging {SIDE_PX} px {AMOUNT} times",
        value=peak / 1e9,
        bound=BOUND_GB,
        unit="GB",
        detail=f"peak resident memory of `stretto invoke`, all of it, a small ESRGAN, {time.perf_counter() - began:.0f} s",
    )


def _peak_bytes(running: subprocess.Popen[bytes]) -> int:
    """Watch a process and its children until it ends; gives the largest sum of their resident memory."""
    peak, process = 0, psutil.Process(running.pid)
    while running.poll() is None:
        try:
            peak = max(
                peak, sum(one.memory_info().rss for one in [process, *process.children(recursive=True)])
            )
        except psutil.Error:  # one ended between being listed and being asked
            continue
        time.sleep(POLL_S)
    return peak


def _tile(out: Path) -> Row:
    """Let a fresh process enlarge one whole tile, with all pictures that a job would hold beside it."""
    network = make_tiny_esrgan(out / "full.pth", channels=64, blocks=23)
    command = [sys.executable, "-m", "benchmarks.enlarging", str(network)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak_kb = done.stdout.split()
    return Row(
        name=f"a tile of {SIDE_PX} px {AMOUNT} times",
        value=int(peak_kb) * 1024 / 1e9,
        bound=BOUND_GB,
        unit="GB",
        detail=f"peak of a process with one tile of a network of Real-ESRGAN x4plus's size, {float(seconds):.0f} s",
    )


def main() -> None:
    """Enlarge one tile, as large as the network sees it with both margins; prints seconds and kilobytes."""
    from PIL import Image
    from stretto.plugins.superres import Network, Settings, read_network

    tile = Settings().tile + 2 * Settings().overlap
    network = Network(
        read_network(Path(sys.argv[1]), "cpu"), Settings(tile=tile, overlap=0), Path(sys.argv[1])
    )
    before = Image.new("RGB", (SIDE_PX, SIDE_PX), "grey")
    after = Image.new("RGB", (AMOUNT * SIDE_PX, AMOUNT * SIDE_PX), "grey")
    began = time.perf_counter()
    after.paste(network.upscale(before.crop((0, 0, tile, tile)), AMOUNT))
    print(time.perf_counter() - began, _own_peak_kb())


def _own_peak_kb() -> int:
    """Give the largest resident memory of this program alone; `getrusage` counts what started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


if __name__ == "__main__":
    main()
