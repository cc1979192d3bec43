"""ONNX Runtime on CPUs and NVIDIA GPUs: the engine is the cleaned ONNX file, optimised anew when it is opened.

Saving what ONNX Runtime's optimiser makes of it would spare a seventh of the time to open, and bind the
engine to one kind of processor; see docs/explanation/engines.md.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host import (
    CompilerSpec,
    Component,
    EngineBuildError,
    EngineOpenError,
    Network,
    Port,
    Precision,
    Profile,
)

from .shapes import is_one_size

if TYPE_CHECKING:
    import torch
    from stretto.host import CompiledNetwork

    from .cuda_graphs import Graphs, Replayed

__all__ = ["OFFERS", "OnnxRuntime", "Session"]

logger = logging.getLogger(__name__)
FILE = "network.onnx"  # in an engine's folder; large weights lie beside it
DISTRIBUTIONS = ("onnxruntime-gpu", "onnxruntime")
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_GRAPHS = 4  # batches whose CUDA graphs are kept; ONNX Runtime lets go of none
_NO_GRAPH = -1
QUIET = 3  # errors alone; the optimiser warns of what it leaves as it is
_NAMED = re.compile(r"([a-z_]+)(?:([*/])(\d+))?")


class OnnxRuntime:
    """Builds nothing that is bound to a machine: any `cpu` opens what is built for `cpu`, any CUDA device `cuda`."""

    def version(self) -> str:
        """Give `onnxruntime 1.31.1`."""
        return f"onnxruntime {_version()}"

    def target(self, device: str) -> str:
        """Give the device's kind."""
        return device.partition(":")[0]

    def targets(self) -> tuple[str, ...]:
        """Give `cpu` and `cuda`; either is built anywhere."""
        return tuple(PROVIDERS)

    def flags(self) -> tuple[str, ...]:
        """Give none: what is built is the graph itself."""
        return ()

    def build(
        self,
        network: Network,
        profile: Profile,  # noqa: ARG002 - one graph is right for all lengths
        target: str,
        out: Path,
        report: Callable[[str, float | None], None],
    ) -> None:
        """Put the network's ONNX file and the weights beside it into `out`, once it is seen to open.

        Raises EngineBuildError for an unknown target, and for a graph that ONNX Runtime refuses.
        """
        if target not in PROVIDERS:
            raise EngineBuildError(
                f"ONNX Runtime cannot build the {network.component} for '{target}'; it builds for "
                f"{' and '.join(PROVIDERS)}."
            )
        report("export the graph", None)
        found = network.onnx()
        report("check the graph", None)
        try:
            # on the CPU whatever the target: the machine that builds need not have it
            _session(found, "cpu", _options(optimised=False))
        except Exception as error:
            raise EngineBuildError(
                f"ONNX Runtime cannot build the {network.component}: {_first_line(error)}"
            ) from error
        for file in (found, *_beside(found)):
            _put(file, out / (FILE if file == found else file.name))

    def unable(self, target: str, device: str) -> str | None:
        """Say why an engine for `target` does not run on `device`: another kind of device, or no provider for it."""
        kind = self.target(device)
        if kind not in PROVIDERS:
            return (
                f"ONNX Runtime computes on {' and '.join(PROVIDERS)}, and this machine computes on '{device}'"
            )
        if kind != target:
            return f"the engine is built for {target}, and this machine computes on '{device}'"
        import onnxruntime

        if PROVIDERS[kind] not in onnxruntime.get_available_providers():
            return (
                "the installed ONNX Runtime has no CUDA provider; `pip install onnxruntime-gpu` installs one"
            )
        return None

    def open(self, engine: Path, network: Network, profile: Profile, device: str) -> CompiledNetwork:
        """Load the graph and optimise it for `device`; raises EngineOpenError."""
        file = engine / FILE
        if not file.is_file():
            raise EngineOpenError(f"there is no {FILE} in {engine}; remove the engine and build it anew")
        if why := self.unable(self.target(device), device):
            raise EngineOpenError(f"{file}: {why}")
        fixed = _fixed(network.inputs, profile)
        plainly = partial(_plain_session, file, device, fixed)
        if device.startswith("cuda") and is_one_size(profile):
            session = _graph_session(file, device, fixed)
            if session is not None:
                return Session(session, network, device, without_graphs=plainly)
        return Session(plainly(), network, device)


class Session:
    """An open graph, which reads and writes the memory of torch's tensors.

    One that captures CUDA graphs is given by `without_graphs` what takes its place where that fails.
    """

    def __init__(
        self, session: Any, network: Network, device: str, *, without_graphs: Callable[[], Any] | None = None
    ) -> None:
        kind, _, index = device.partition(":")
        self._session = session
        self._without_graphs = without_graphs
        self._graphs: Graphs | None = None
        if without_graphs is not None:
            from .cuda_graphs import Graphs

            name = f"the {network.component}'s engine of ONNX Runtime"
            self._graphs = Graphs(name, self._captured, most=_GRAPHS)
        self._numbers = count(1)  # of graphs; 0 is ONNX Runtime's own
        self._inputs = network.inputs
        self._outputs = network.outputs
        self._component = network.component
        self._kind, self._index = kind, int(index or 0)

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Give the outputs, in memory of their own; raises EngineOpenError when ONNX Runtime fails."""
        if self._session is None:
            raise EngineOpenError(f"the {self._component}'s engine is closed")
        taken = {port.name: inputs[port.name].detach().contiguous() for port in self._inputs}
        if self._graphs is not None:
            replayed = self._graphs(taken)
            if replayed is not None:
                return replayed
            if self._graphs.given_up and self._without_graphs is not None:
                self._graphs = self._session = None  # before the other one takes its memory
                self._session = self._without_graphs()
        binding, given = self._bound(taken)
        self._run(binding, taken, _NO_GRAPH if self._graphs is not None else None)
        return given

    def close(self) -> None:
        """Give back the memory; idempotent."""
        if self._graphs is not None:
            self._graphs.clear()
        self._session = None

    def _bound(self, taken: Mapping[str, torch.Tensor]) -> tuple[Any, tuple[torch.Tensor, ...]]:
        """Tell ONNX Runtime where inputs lie and outputs go."""
        import torch

        axes = _lengths(self._inputs, taken)
        like = next(iter(taken.values())).device
        given = tuple(
            torch.empty(_shape_at(port, axes), dtype=getattr(torch, port.dtype), device=like)
            for port in self._outputs
        )
        binding = self._session.io_binding()
        for port in self._inputs:
            binding.bind_input(port.name, *self._place(taken[port.name], port))
        for port, tensor in zip(self._outputs, given, strict=True):
            binding.bind_output(port.name, *self._place(tensor, port))
        return binding, given

    def _run(self, binding: Any, taken: Mapping[str, torch.Tensor], graph: int | None = None) -> None:
        """Run, capture or replay; `graph` is a CUDA graph's number. Raises EngineOpenError."""
        import torch

        if self._kind == "cuda":  # ONNX Runtime computes on a stream of its own
            torch.cuda.current_stream(next(iter(taken.values())).device).synchronize()
        try:
            self._session.run_with_iobinding(binding, None if graph is None else _told(graph))
            binding.synchronize_outputs()
        except Exception as error:
            axes = _lengths(self._inputs, taken)
            raise EngineOpenError(
                f"the {self._component}'s engine failed at {axes}: {_first_line(error)}"
            ) from error

    def _captured(self, given: Mapping[str, torch.Tensor]) -> Replayed:
        """Have ONNX Runtime capture a call on copies of its inputs; raises EngineOpenError."""
        import torch

        from .cuda_graphs import Replayed, held

        inputs = held(given)
        with torch.inference_mode(mode=False):
            binding, outputs = self._bound(inputs)
        run = partial(self._run, binding, inputs, next(self._numbers))
        run()
        return Replayed(replay=run, inputs=inputs, outputs=outputs)

    def _place(self, tensor: torch.Tensor, port: Port) -> tuple[Any, ...]:
        return self._kind, self._index, _element_type(port.dtype), tuple(tensor.shape), tensor.data_ptr()


def _missing() -> str | None:
    if find_spec("onnxruntime") is None:
        return "ONNX Runtime is not installed; `pip install onnxruntime-gpu` installs it"
    return None


def _version() -> str:
    for name in DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    raise EngineBuildError("ONNX Runtime is not installed; `pip install onnxruntime-gpu` installs it")


def _options(*, optimised: bool, fixed: Mapping[str, int] | None = None) -> Any:
    """Give a session's options: as many threads as torch has, and the axes that have one length."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = torch.get_num_threads()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    for name, length in (fixed or {}).items():
        options.add_free_dimension_override_by_name(name, length)
    return options


def _plain_session(file: Path, device: str, fixed: Mapping[str, int]) -> Any:
    """Open a session that runs on the device; raises EngineOpenError."""
    try:
        session = _session(file, device, _options(optimised=True, fixed=fixed))
    except Exception as error:
        raise EngineOpenError(f"ONNX Runtime cannot open {file}: {_first_line(error)}") from error
    used = session.get_providers()[0]
    if used != PROVIDERS[device.partition(":")[0]]:  # it falls back by itself, and says so on stderr alone
        raise EngineOpenError(
            f"{file}: ONNX Runtime computes with its {used} instead of on '{device}'; the CUDA and cuDNN "
            "libraries that it was built for are not here"
        )
    return session


def _graph_session(file: Path, device: str, fixed: Mapping[str, int]) -> Any:
    """Open a session that captures CUDA graphs; None, told in the log, where ONNX Runtime does not do that."""
    try:
        session = _session(file, device, _options(optimised=True, fixed=fixed), graphs=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is a session without graphs
        logger.warning("%s is opened without CUDA graphs: %s", file, _first_line(error))
        return None
    return session if session.get_providers()[0] == PROVIDERS["cuda"] else None


def _session(file: Path, device: str, options: Any, *, graphs: bool = False) -> Any:
    """Open a session; `graphs` has it capture CUDA graphs, and fail where it cannot."""
    import onnxruntime

    kind, _, index = device.partition(":")
    provider: Any = PROVIDERS[kind]
    if kind == "cuda":
        onnxruntime.preload_dlls()  # those that torch brought along
        provider = (provider, {"device_id": int(index or 0)} | ({"enable_cuda_graph": 1} if graphs else {}))
    alone = {"enable_fallback": 0} if graphs else {}  # not on the CPU instead
    return onnxruntime.InferenceSession(str(file), options, providers=[provider], **alone)


def _told(graph: int) -> Any:
    """Give the options of a run that captures or replays the CUDA graph of that number, or for -1 none."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options


def _put(file: Path, place: Path) -> None:
    """Give a file a second name, which costs nothing on the same disk, or else copy it."""
    try:
        place.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, place)


def _beside(file: Path) -> list[Path]:
    """Give the files of weights that lie beside an ONNX file; it names them, so they keep their names."""
    return sorted(path for path in file.parent.glob(f"{file.name}.*") if path.is_file())


def _fixed(ports: Iterable[Port], profile: Profile) -> dict[str, int]:
    """Give the whole axes that have but one length, so that shapes are known before the first call."""
    words = {word for port in ports for word in port.shape if isinstance(word, str) and word in profile}
    return {word: profile[word].min for word in words if profile[word].static}


def _lengths(ports: Iterable[Port], inputs: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Read the lengths of the named axes off inputs; a halved axis is told by a whole one."""
    found: dict[str, int] = {}
    for port in ports:
        for word, length in zip(port.shape, inputs[port.name].shape, strict=True):
            name, sign, factor = _parts(word)
            if sign != "/" and name:
                found[name] = length // factor
    return found


def _shape_at(port: Port, axes: Mapping[str, int]) -> tuple[int, ...]:
    shape = []
    for word in port.shape:
        name, sign, factor = _parts(word)
        length = axes[name] if name else factor
        shape.append(length if not name else length * factor if sign == "*" else -(-length // factor))
    return tuple(shape)


def _parts(word: int | str) -> tuple[str, str | None, int]:
    """Part `height*8` into (height, *, 8); a number has no name."""
    if isinstance(word, int):
        return "", None, word
    found = _NAMED.fullmatch(word)
    if found is None:
        raise EngineOpenError(f"'{word}' is no axis of a network")
    return found[1], found[2], int(found[3] or 1)


def _element_type(dtype: str) -> int:
    """Give ONNX's number for a type; numpy has none for bfloat16."""
    from onnx import TensorProto

    names = {"float32": "FLOAT", "float16": "FLOAT16", "bfloat16": "BFLOAT16", "int64": "INT64"}
    return int(getattr(TensorProto, names[dtype]))


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


OFFERS: tuple[CompilerSpec, ...] = (
    CompilerSpec(
        name="onnxruntime",
        title="ONNX Runtime",
        aliases=("onnx", "ort"),
        build=OnnxRuntime,
        components=tuple(Component),
        precisions=(Precision.FLOAT32, Precision.FLOAT16),
        profiled="range",
        missing=_missing,
    ),
)
