"""A builder that takes little memory itself, and has a process of its own take much."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from stretto.plugins.compilers.child import Tell, serve

HUNGRY = "import sys; held = b'x' * int(sys.argv[1]); sys.stdin.read()"


def work(order: Mapping[str, Any], tell: Tell) -> None:
    if order.get("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    tell("take memory", None)
    # it ends with the pipe, and so with this process
    command = [sys.executable, "-c", HUNGRY, str(order["bytes"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as hungry:
        hungry.wait(timeout=20)


if __name__ == "__main__":
    serve(work)
