"""A plugin with a compiler that keeps networks as torch pickles them, and fails where the environment says."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stretto.host import CompilerSpec, Component, HostView, Network, Precision, Profile, hookimpl

FILE = "module.pt"
FAULT = "FRAIL_COMPILER"  # "run", "full", "open", "disk"


class Kept:
    def __init__(self, engine: Path, network: Network) -> None:
        import torch

        self._module = torch.load(engine / FILE, weights_only=False)
        self._names = [port.name for port in network.inputs]
        self._calls = 0

    def __call__(self, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        self._calls += 1
        match os.environ.get(FAULT):
            case "run" if self._calls > 1:
                raise RuntimeError("an illegal instruction was encountered")
            case "full":
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        found: tuple[Any, ...] = self._module(*(inputs[name] for name in self._names))
        return found

    def close(self) -> None:
        self._module = None


class Frail:
    def version(self) -> str:
        return "frail 1"

    def target(self, device: str) -> str:
        return device

    def targets(self) -> tuple[str, ...]:
        return ("cpu",)

    def flags(self) -> tuple[str, ...]:
        return ()

    def build(
        self,
        network: Network,
        profile: Profile,  # noqa: ARG002 - the protocol's
        target: str,  # noqa: ARG002 - the protocol's
        out: Path,
        report: Callable[[str, float | None], None],
    ) -> None:
        import torch

        report("keep the module", 0.5)
        (out / "half").write_bytes(b"half of it")
        if os.environ.get(FAULT) == "disk" and network.component is Component.UNET:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out / FILE))
        torch.save(network.module(), out / FILE)

    def unable(self, target: str, device: str) -> str | None:
        return None if target == device else f"it is for {target}"

    def open(self, engine: Path, network: Network, profile: Profile, device: str) -> Kept:  # noqa: ARG002 - the protocol's
        if os.environ.get(FAULT) == "open":
            raise MemoryError
        return Kept(engine, network)


@hookimpl
def register_compilers(host: HostView) -> Iterable[CompilerSpec]:
    return [CompilerSpec(name="frail", build=Frail, components=tuple(Component), precisions=tuple(Precision))]
