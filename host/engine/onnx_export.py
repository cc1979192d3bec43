"""Networks of torch as ONNX: opset 18, named axes, constants folded, weights beside the file where it gets large."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..contracts.engines import Component, Port
from ..errors import EngineBuildError

__all__ = ["OPSET", "WHOLE_BYTES", "export"]

OPSET = 18
# A protobuf message ends at 2 GiB. From here on weights lie beside the file, and constants are folded by torch's
# exporter alone: for Polygraphy the message has to be whole, and lies in memory five times.
WHOLE_BYTES = 1_000_000_000


def export(
    component: Component,
    module: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    ports: tuple[Sequence[Port], Sequence[Port]],
    path: Path,
) -> None:
    """Write `module` as it acts on `inputs` to `path`, and clean it; raises EngineBuildError.

    Every named axis of the inputs stays free: it is an error if the network turns out to fix one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    taken, given = ports
    try:
        with _quiet():
            traced = torch.export.export(
                module, tuple(inputs.values()), dynamic_shapes=(_free(taken),), strict=False
            )
            program = torch.onnx.export(
                traced,
                dynamo=True,
                opset_version=OPSET,
                input_names=[port.name for port in taken],
                output_names=[port.name for port in given],
                verbose=False,
            )
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise EngineBuildError(
            f"{component}: torch cannot export it as ONNX: {_first_line(error)}"
        ) from error
    assert program is not None  # noqa: S101 - with dynamo=True and no file there is one
    _name_axes(component, program.model.graph, ports)
    _say_types(program.model.graph)
    weights = tuple(module.parameters())
    large = sum(weight.nbytes for weight in weights) > WHOLE_BYTES
    try:
        program.save(path, external_data=large)
        # constants are folded by NumPy, which has no bfloat16
        if not large and all(weight.dtype is not torch.bfloat16 for weight in weights):
            _clean(path)
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise EngineBuildError(
            f"{component}: its graph cannot be written as ONNX: {_first_line(error)}"
        ) from error


def _free(ports: Sequence[Port]) -> tuple[dict[int, Any], ...]:
    """Give, for each input, the axes that stay free."""
    return tuple(
        {axis: torch.export.Dim.AUTO for axis, word in enumerate(port.shape) if isinstance(word, str)}
        for port in ports
    )


def _name_axes(component: Component, graph: Any, ports: tuple[Sequence[Port], Sequence[Port]]) -> None:
    """Put the ports' words for the exporter's symbols, everywhere in the graph."""
    import onnx_ir

    named: dict[str, str] = {}
    for port, value in zip(ports[0], graph.inputs, strict=True):
        for word, symbol in zip(port.shape, value.shape, strict=True):
            if not isinstance(word, str):
                continue
            if isinstance(symbol, int):
                raise EngineBuildError(
                    f"{component}: the axis {word} of {port.name} cannot be free; the network takes {symbol} only"
                )
            if word.isidentifier():
                named.setdefault(str(symbol.value), word)
    symbols = re.compile("|".join(rf"\b{re.escape(symbol)}\b" for symbol in named) or "(?!)")
    for value in _values(graph):
        if value.shape is not None:
            value.shape = onnx_ir.Shape(
                [
                    length
                    if isinstance(length, int)
                    else onnx_ir.SymbolicDim(
                        symbols.sub(lambda found: named[found[0]], str(length.value))
                        if length.value is not None
                        else None
                    )
                    for length in value.shape
                ]
            )
    for port, value in (
        *zip(ports[0], graph.inputs, strict=True),
        *zip(ports[1], graph.outputs, strict=True),
    ):
        value.shape = onnx_ir.Shape([_identifier(word) for word in port.shape])


def _say_types(graph: Any) -> None:
    """Put casts to a type for casts to that of another value, which few libraries read."""
    import onnx_ir

    for node in [node for node in graph if node.op_type == "CastLike"]:
        cast = onnx_ir.node("Cast", [node.inputs[0]], attributes={"to": int(_type_of(node.inputs[1]))})
        cast.outputs[0].dtype, cast.outputs[0].shape = _type_of(node.inputs[1]), node.outputs[0].shape
        onnx_ir.convenience.replace_nodes_and_values(graph, node, [node], [cast], node.outputs, cast.outputs)


def _type_of(value: Any) -> Any:
    """Give a value's type; one that is not told is that of what it was made of, as of a reshaped one."""
    while value.dtype is None:
        value = value.producer().inputs[0]
    return value.dtype


def _values(graph: Any) -> Iterator[Any]:
    for node in graph:
        yield from node.outputs


def _identifier(word: int | str) -> int | str:
    """Give an axis a name that ONNX allows: `height*8` is `height_times_8`."""
    return word.replace("*", "_times_").replace("/", "_over_") if isinstance(word, str) else word


def _clean(path: Path) -> None:
    """Fold constants and leave out what nothing reads, by Polygraphy and ONNX GraphSurgeon."""
    import onnx
    from polygraphy.backend.onnx import fold_constants

    with _without_remarks():
        folded = fold_constants(onnx.load(path), allow_onnxruntime_shape_inference=False)
    onnx.save(folded, path)


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Have both libraries print errors alone."""
    from onnx_graphsurgeon.logger import G_LOGGER as GRAPHSURGEON
    from polygraphy.logger import G_LOGGER as POLYGRAPHY

    before = GRAPHSURGEON.severity
    GRAPHSURGEON.severity = GRAPHSURGEON.ERROR
    try:
        with POLYGRAPHY.verbosity(POLYGRAPHY.ERROR):
            yield
    finally:
        GRAPHSURGEON.severity = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out the exporter's remarks on its own inner workings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
