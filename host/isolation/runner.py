"""What the Python of an isolated plugin's environment is started with: shows it the host's package, then serves.

Run as a file, so it imports nothing of ours before the finder is in place. The environment's own packages come
first; `stretto.host` and the few light packages that it needs are taken from the host's installation.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _HostFinder:
    """Finds packages by name in the folders of another installation; asked when nobody else has them."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders = folders

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Give the spec of a package of the host's; `stretto` itself is a namespace without files."""
        if name == "stretto":
            return ModuleSpec(name, None, is_package=True)
        folder = self._folders.get(name)
        if folder is None:
            return None
        return importlib.util.spec_from_file_location(
            name, Path(folder) / "__init__.py", submodule_search_locations=[folder]
        )


def _beside(name: str) -> Any:
    """Import a file that lies beside this one, by itself: the host's package is not to be had yet."""
    spec = importlib.util.spec_from_file_location(f"_stretto_{name}", Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _unbind() -> None:
    """Lift the bound that the worker has on its own memory; the host watches this process by its own."""
    from resource import RLIMIT_DATA, getrlimit, setrlimit

    _, hard = getrlimit(RLIMIT_DATA)
    setrlimit(RLIMIT_DATA, (hard, hard))


def main(pipe: int, memory: int, parent_pid: int, folders: Mapping[str, str]) -> None:
    """Serve the process `parent_pid` over two inherited file descriptors until it goes."""
    for fd in (pipe, memory):
        os.set_inheritable(fd, False)
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:  # it died before the kernel was asked to watch
            os._exit(1)
    _beside("warden").watch()
    _unbind()
    finder: Any = _HostFinder(folders)
    sys.meta_path.append(finder)
    serve = importlib.import_module("stretto.host.isolation.child").serve
    serve(pipe, memory)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
