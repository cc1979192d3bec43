"""Counts events while the host is there, and writes the sum down when it stops."""

from collections import Counter
from pathlib import Path

from stretto.host import hookimpl

heard = Counter()


@hookimpl
def observe(event):
    heard[type(event).__name__] += 1


@hookimpl
def host_stopping():
    Path("heard.txt").write_text("".join(f"{count} {name}\n" for name, count in heard.most_common()), "utf-8")
