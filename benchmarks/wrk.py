"""Requests per second by wrk (https://github.com/wg/wrk): eight connections that ask as fast as they are answered."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from statistics import median

__all__ = ["Rate", "rate_of", "require_wrk"]

CONNECTIONS = 8
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a path is answered: calls per second, and the 99th percentile of a call in milliseconds."""

    per_s: float
    p99_ms: float


def require_wrk() -> None:
    """Exit with what is to be installed where there is no wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit(
            "The group load drives wrk, which is not on the PATH: apt-get install wrk (Debian, Ubuntu)"
        )


def rate_of(url: str, *, rounds: int = 5, seconds: int = 2) -> Rate:
    """Ask for one URL in several short rounds after one to warm up; gives their medians.

    Raises RuntimeError for an answer that is none of 2xx and 3xx, and for a connection that broke.
    """
    found = [_round(url, 1 if number == 0 else seconds) for number in range(rounds + 1)][1:]
    return Rate(per_s=median(rate.per_s for rate in found), p99_ms=median(rate.p99_ms for rate in found))


def _round(url: str, seconds: int) -> Rate:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"{url} was not always answered:\n{text}")
    per_s = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if per_s is None or p99 is None:
        raise RuntimeError(f"wrk said what is not understood here:\n{text}")
    return Rate(per_s=float(per_s[1]), p99_ms=float(p99[1]) * MILLISECONDS[p99[2]])
