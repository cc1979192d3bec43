"""Keeps networks as programs of torch.export: every operation is laid down, and nothing is made faster."""

import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from stretto.host import CompilerSpec, Component, EngineBuildError, EngineOpenError, Precision, hookimpl

FILE = "network.pt2"


@dataclass(frozen=True)
class Program:
    module: Any
    names: tuple[str, ...]

    def __call__(self, inputs):
        import torch

        with torch.no_grad():
            return tuple(self.module(*(inputs[name] for name in self.names)))

    def close(self):
        pass


class Exporter:
    def version(self):
        return f"torch.export {version('torch')}"

    def target(self, device):
        return device

    def targets(self):
        return ("cpu",)

    def flags(self):
        return ()

    def build(self, network, profile, target, out, report):
        import torch

        report("export", None)
        given = network.sample({axis: span.opt for axis, span in profile.items()})
        try:
            program = torch.export.export(
                network.module(), tuple(given[port.name] for port in network.inputs)
            )
        except RuntimeError as error:
            raise EngineBuildError(f"torch cannot export the {network.component}: {error}") from error
        torch.export.save(program, out / FILE)

    def unable(self, target, device):
        return None if target == device else f"it is exported for {target}"

    def open(self, engine, network, profile, device):
        import torch

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that weights are read into memory that is not written to
                module = torch.export.load(engine / FILE).module()
        except (OSError, RuntimeError) as error:
            raise EngineOpenError(f"the engine in {engine} cannot be opened: {error}") from error
        return Program(module, tuple(port.name for port in network.inputs))


@hookimpl
def register_compilers():
    return [
        CompilerSpec(
            name="exported",
            title="torch.export",
            build=Exporter,
            components=(Component.UNET, Component.VAE_DECODER),
            precisions=(Precision.FLOAT32,),
        )
    ]
