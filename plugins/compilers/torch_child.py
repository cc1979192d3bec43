"""Compiles one exported program with AOTInductor: the work of a process of its own, like that of TensorRT's builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .child import Tell, serve

__all__ = ["compile_program"]

# Loops ask at run time how many threads there are, so that an engine does not bind the number it was built with.
_OPTIONS = {"cpp.dynamic_threads": True}


def compile_program(order: Mapping[str, Any], tell: Tell) -> None:
    """Write the package that `order` names: `program` is what `torch.export.save` wrote, `package` the file."""
    tell("load the compiler", None)
    import torch
    from torch._inductor import aoti_compile_and_package

    torch.set_num_threads(order["threads"])
    program = torch.export.load(order["program"])
    tell("compile", None)
    with torch.no_grad():
        aoti_compile_and_package(program, package_path=order["package"], inductor_configs=_OPTIONS)


if __name__ == "__main__":
    serve(compile_program)
