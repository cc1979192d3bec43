"""A plugin with a compiler that keeps a network as torch pickles it: engines that are built in no time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from stretto.host import CompilerSpec, Component, HostView, Network, Precision, Profile, hookimpl
from stretto.host.errors import EngineBuildError

FILE = "module.pt"


class Kept:
    def __init__(self, engine: Path, network: Network) -> None:
        import torch

        self._module = torch.load(engine / FILE, weights_only=False)
        self._names = [port.name for port in network.inputs]

    def __call__(self, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._module(*(inputs[name] for name in self._names))
        return found

    def close(self) -> None:
        self._module = None


class Keeper:
    def version(self) -> str:
        return "keeper 1"

    def target(self, device: str) -> str:
        return device

    def targets(self) -> tuple[str, ...]:
        return ("sm89", "sm120")

    def flags(self) -> tuple[str, ...]:
        return ()

    def build(
        self,
        network: Network,
        profile: Profile,  # noqa: ARG002 - the protocol's
        target: str,
        out: Path,
        report: Callable[[str, float | None], None],
    ) -> None:
        import torch

        report("keep the module", 0.5)
        if (network.component, target) == (Component.VAE_ENCODER, "sm120"):
            raise EngineBuildError("keeper cannot build the vae_encoder for 'sm120': it keeps none of those")
        torch.save(network.module(), out / FILE)

    def unable(self, target: str, device: str) -> str | None:
        return None if target == device else f"it is for {target}"

    def open(self, engine: Path, network: Network, profile: Profile, device: str) -> Kept:  # noqa: ARG002 - the protocol's
        return Kept(engine, network)


@hookimpl
def register_compilers(host: HostView) -> Iterable[CompilerSpec]:
    return [
        CompilerSpec(
            name="keeper", build=Keeper, components=tuple(Component)[:-1], precisions=tuple(Precision)
        )
    ]
