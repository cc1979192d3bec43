"""Looks at a file that came from elsewhere, in a process of its own; nothing in it is ever run or unpickled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stretto.host.errors import WeightsError

__all__ = ["inspect", "look"]

LIMIT_S = 120
MEMORY_BYTES = 2**31  # a header has up to 100 MB of JSON
PAGES = (b"<!", b"<h", b"<H", b"<?", b"<html", b"version https://git-lfs")


def inspect(file: Path, target: Path) -> None:
    """Raise WeightsError unless `file` can be what the name `target` says; the file may have another name."""
    command = [sys.executable, "-m", __name__, str(file), str(target)]
    try:
        done = subprocess.run(  # noqa: S603  # a list, and no shell
            command, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"{target.name} could not be looked at within {LIMIT_S} s") from error
    if done.returncode:
        last = (done.stdout.strip() or done.stderr.strip() or "its header needs too much memory").splitlines()
        raise WeightsError(last[-1].replace(str(file), target.name))


def look(file: Path, suffix: str) -> None:
    """Read what a safetensors file says of itself, and of any other only its first bytes; raises WeightsError."""
    from stretto.host.catalog.header import read_header

    if suffix == ".safetensors":
        read_header(file)
        return
    with file.open("rb") as opened:
        start = opened.read(32)
    if not start:
        raise WeightsError(f"{file} is empty; download it again")
    if start.lstrip().startswith(PAGES):
        raise WeightsError(f"{file} is a web page or a pointer, not the file itself; check the URL")


def _main() -> int:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        look(Path(sys.argv[1]), Path(sys.argv[2]).suffix.lower())
    except WeightsError as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
