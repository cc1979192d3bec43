"""A plugin with a compiler that keeps a network's module apart from its weights, and takes others in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stretto.host import (
    CompilerSpec,
    Component,
    HostView,
    Network,
    Precision,
    Profile,
    hookimpl,
)

MODULE, WEIGHTS, HOW = "module.pt", "weights.pt", "how.txt"


class Kept:
    def __init__(self, engine: Path, network: Network) -> None:
        import torch

        self._module = torch.load(engine / MODULE, weights_only=False)
        self._module.load_state_dict(torch.load(engine / WEIGHTS))
        self._names = [port.name for port in network.inputs]

    def __call__(self, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._module(*(inputs[name] for name in self._names))
        return found

    def close(self) -> None:
        self._module = None


class Apart:
    def version(self) -> str:
        return "refitter 1"

    def target(self, device: str) -> str:
        return device

    def targets(self) -> tuple[str, ...]:
        return ()

    def flags(self) -> tuple[str, ...]:
        return ()

    def build(
        self,
        network: Network,
        profile: Profile,  # noqa: ARG002 - the protocol's
        target: str,  # noqa: ARG002
        out: Path,
        report: Callable[[str, float | None], None],  # noqa: ARG002
    ) -> None:
        import torch

        torch.save(network.module(), out / MODULE)
        torch.save(network.module().state_dict(), out / WEIGHTS)
        (out / HOW).write_text("built")

    def refit(
        self,
        network: Network,
        engine: Path,
        target: str,  # noqa: ARG002 - the protocol's
        out: Path,
        report: Callable[[str, float | None], None],  # noqa: ARG002
    ) -> None:
        import torch

        (out / MODULE).write_bytes((engine / MODULE).read_bytes())
        torch.save(network.module().state_dict(), out / WEIGHTS)
        (out / HOW).write_text("refitted")

    def unable(self, target: str, device: str) -> str | None:
        return None if target == device else f"it is for {target}"

    def open(self, engine: Path, network: Network, profile: Profile, device: str) -> Kept:  # noqa: ARG002 - the protocol's
        return Kept(engine, network)


@hookimpl
def register_compilers(host: HostView) -> Iterable[CompilerSpec]:
    return [
        CompilerSpec(name="refitter", build=Apart, components=(Component.UNET,), precisions=tuple(Precision))
    ]
