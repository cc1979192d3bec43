"""Looks at a file that came from elsewhere, in a process of its own; nothing in it is ever run or unpickled."""

from __future__ import annotations

import pickletools
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO

from stretto.host.errors import WeightsError

__all__ = ["inspect", "look"]

LIMIT_S = 120
MEMORY_BYTES = 2**31  # a header has up to 100 MB of JSON
# What torch.load knows its files by (torch/serialization.py): a zip archive, or, before 1.6, a number and three pickles,
# the last of which is the content. The tar of before 0.1.10 it does not read as tensors alone, so nobody here would.
ZIP, MAGIC, AFTER_MAGIC = b"PK\x03\x04", 0x1950A86A20F9469CFC6C, 3
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
    """Read what a safetensors file says of itself, and of any other whether torch wrote it; raises WeightsError."""
    from stretto.host.catalog.header import read_header
    from stretto.host.catalog.probe import PICKLES

    if suffix == ".safetensors":
        read_header(file)
        return
    with file.open("rb") as opened:
        start = opened.read(32)
    if not start:
        raise WeightsError(f"{file} is empty; download it again")
    if start.lstrip().startswith(PAGES):
        raise WeightsError(f"{file} is a web page or a pointer, not the file itself; check the URL")
    if suffix in PICKLES and not _by_torch(file, start):
        raise WeightsError(
            f"{file} is no file that torch wrote (a zip archive with a data.pkl, or the form of before 1.6); check the URL, "
            "or download it again"
        )


def _by_torch(file: Path, start: bytes) -> bool:
    """Say whether a file has one of torch's forms; the opcodes of pickles are read, and none is followed."""
    try:
        if start.startswith(ZIP):
            with zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
                return bool(names) and all(_is_pickle(archive.open(name)) for name in names)
        with file.open("rb") as opened:
            numbers = [value for _, value, _ in pickletools.genops(opened) if value is not None]
            return MAGIC in numbers and all(_is_pickle(opened) for _ in range(AFTER_MAGIC))
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error):
        return False


def _is_pickle(opened: IO[bytes]) -> bool:
    """Read one pickle to its end; raises ValueError where there is none."""
    for _ in pickletools.genops(opened):
        pass
    return True


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
