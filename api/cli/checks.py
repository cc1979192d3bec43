"""The checks behind `stretto doctor`; each gives one row and none changes anything."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stretto.host.errors import ConfigurationError, StrettoError
from stretto.host.settings import MODEL_FOLDERS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..postgres import PostgresServer
    from .options import Place

__all__ = ["Row", "examine"]

MIN_PYTHON = (3, 11)
MIN_FREE_BYTES = 100 * 2**20  # the first images, the database and its journal
DRIVER = "install NVIDIA's driver (Debian: sudo apt install nvidia-driver) and restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One finding: `needed` says that the first image fails without it, `fix` is what closes the gap."""

    name: str
    status: Literal["ok", "absent", "broken"]
    found: str
    fix: str | None = None
    needed: bool = False


def examine(place: Place) -> list[Row]:
    """Look at everything, needed things and optional ones."""
    from stretto.host.runtime.gpu import gpu_snapshot

    gpu = gpu_snapshot()
    return [
        _python(),
        *_torch(),
        _nvml(gpu),
        _onnxruntime(driver=gpu is not None),
        _tensorrt(driver=gpu is not None),
        *_plugins_and_models(place),
        _database(place),
        _disk(place),
    ]


def _install(what: str) -> str:
    return f"{shlex.quote(sys.executable)} -m pip install {shlex.quote(what)}"


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _python() -> Row:
    found = f"{'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})"
    if sys.version_info[:2] < MIN_PYTHON:
        return Row(
            name="python", status="broken", found=found, fix="install Python 3.11 or newer", needed=True
        )
    return Row(name="python", status="ok", found=found, needed=True)


def _torch() -> list[Row]:
    try:
        import torch
    except (ImportError, OSError) as error:
        fix = _install("stretto") if _version("torch") is None else _install("--force-reinstall torch")
        status: Literal["absent", "broken"] = "absent" if _version("torch") is None else "broken"
        return [Row(name="torch", status=status, found=str(error), fix=fix, needed=True)]
    from stretto.host.engine.device import pick_device, pick_precision

    device = pick_device(None)
    cuda = torch.version.cuda
    here = device != "cpu"
    return [
        Row(name="torch", status="ok", found=torch.__version__, needed=True),
        Row(
            name="device",
            status="ok" if here else "absent",
            found=device
            if here
            else f"cpu; torch is built for {f'CUDA {cuda}' if cuda else 'the CPU alone'}",
            fix=None if here else DRIVER,
        ),
        Row(name="dtype", status="ok", found=pick_precision(None, device).value, needed=True),
    ]


def _nvml(gpu: Mapping[str, object] | None) -> Row:
    if gpu is None:
        return Row(name="nvml", status="absent", found="no NVIDIA driver or no card", fix=DRIVER)
    return Row(name="nvml", status="ok", found=f"{gpu['name']}, driver {gpu['driver']}")


def _onnxruntime(*, driver: bool) -> Row:
    """Ask a session what it runs on: the list of available providers names CUDA without a driver too."""
    reinstall = _install("--force-reinstall --no-deps onnxruntime-gpu").replace("'", "")
    try:
        import onnxruntime
        from onnx import TensorProto, helper

        value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "tiny", value[:1], value[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        wanted = ["CUDAExecutionProvider"] if driver else []
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=[*wanted, "CPUExecutionProvider"]
        )
    except (ImportError, AttributeError, OSError) as error:
        return Row(name="onnxruntime", status="broken", found=f"{error}", fix=reinstall)
    providers = ", ".join(session.get_providers())
    found = f"{onnxruntime.__version__}; runs on {providers}"
    if driver and "CUDAExecutionProvider" not in session.get_providers():
        return Row(name="onnxruntime", status="broken", found=f"{found}, not on the card", fix=reinstall)
    return Row(name="onnxruntime", status="ok", found=found)


def _tensorrt(*, driver: bool) -> Row:
    libraries = {"TensorRT": "tensorrt", "TensorRT-RTX": "tensorrt_rtx_cu13"}
    here = [f"{title} {_version(name)}" for title, name in libraries.items() if _version(name)]
    if not here:
        return Row(
            name="tensorrt",
            status="absent",
            found="neither TensorRT nor TensorRT-RTX",
            fix=_install("stretto[tensorrt-rtx]"),
        )
    found = " and ".join(here)
    if not driver:
        return Row(
            name="tensorrt",
            status="absent",
            found=f"{found}; builds engines, runs none without a driver",
            fix=DRIVER,
        )
    return Row(name="tensorrt", status="ok", found=found)


def _plugins_and_models(place: Place) -> list[Row]:
    from stretto.host.runtime.host import Host

    from .compiler_rows import compiler_rows

    try:
        settings = place.settings(upgrade=False)
    except StrettoError:  # the database has a row of its own
        settings = Settings()
    try:
        host = Host.open(place.folders, settings, plugins_file=place.plugins_file)
    except StrettoError as error:
        in_folders = isinstance(error.__cause__, OSError)
        fix = "name another place with --data-dir" if in_folders else "stretto plugins list"
        return [Row(name="plugins", status="broken", found=str(error), fix=fix, needed=True)]
    with closing(host):
        rows, compilers = host.plugins(), compiler_rows(host)
        try:
            model = host.resolve_model(settings.model)
        except StrettoError as error:
            first = Row(
                name="model", status="absent", found=str(error), fix=f"put a checkpoint into {place.folders.model_folder('checkpoint')} and draw with --set model=ITS-NAME",
                needed=True,
            )  # fmt: skip
        else:
            first = Row(name="model", status="ok", found=f"{settings.model} in {model.path}", needed=True)
    faults = [f"{row.name} is {row.status}: {row.reason}" for row in rows if row.status == "broken"]
    said = f"{sum(row.status == 'on' for row in rows)} of {len(rows)} on"
    plugins = Row(
        name="plugins",
        status="broken" if faults else "ok",
        found="; ".join([said, *faults]),
        fix="disable it in plugins.toml, or mend what its reason says" if faults else None,
    )
    return [plugins, *compilers, first, _model_folders(place)]


def _model_folders(place: Place) -> Row:
    folders = place.folders
    if not folders.models.is_dir():
        return Row(
            name="model folders",
            status="absent",
            found=f"{folders.models} is not there yet",
            fix=f"mkdir -p {shlex.quote(str(folders.models))}/checkpoint",
        )
    counts = {kind: _entries(folders.model_folder(kind)) for kind in MODEL_FOLDERS}
    held = ", ".join(f"{kind} {count}" for kind, count in counts.items() if count) or "empty"
    return Row(name="model folders", status="ok", found=f"{folders.models}: {held}")


def _entries(folder: Path) -> int:
    return sum(not entry.name.startswith(".") for entry in folder.iterdir()) if folder.is_dir() else 0


def _database(place: Place) -> Row:
    file = place.database
    if not isinstance(file, Path):
        return _server(file)
    if not file.exists():
        return Row(name="database", status="ok", found=f"{file} is made by the first `stretto serve`")
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            verdict = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        aside = f"mv {shlex.quote(str(file))} {shlex.quote(str(file))}.broken"
        return Row(name="database", status="broken", found=f"{file}: {verdict}", fix=aside, needed=True)
    return Row(name="database", status="ok", found=f"{file}, {file.stat().st_size / 2**20:.1f} MB")


def _server(server: PostgresServer) -> Row:
    from ..migrations import LATEST, version_of

    try:
        with closing(server.connect()) as connection:
            release = connection.server_version // 10000
        version = version_of(server)
    except ConfigurationError as error:
        fix = "start that server, or correct --database (STRETTO_DATABASE)"
        return Row(name="database", status="broken", found=str(error), fix=fix, needed=True)
    found = f"{server}, PostgreSQL {release}, "
    if version > LATEST:
        fix = "use the newer release, or another database"
        said = f"{found}schema version {version}, beyond this release's {LATEST}"
        return Row(name="database", status="broken", found=said, fix=fix, needed=True)
    said = (
        f"schema version {version}" if version else "empty; its tables are laid by the first `stretto serve`"
    )
    return Row(name="database", status="ok", found=found + said, needed=True)


def _disk(place: Place) -> Row:
    folder = next(path for path in (place.folders.root, *place.folders.root.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GB free at {folder}"
    if free < MIN_FREE_BYTES:
        fix = "make room there, or name another place with --data-dir"
        return Row(name="disk", status="broken", found=found, fix=fix, needed=True)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        fix = "name another place with --data-dir"
        return Row(name="disk", status="broken", found=f"nobody may write to {folder}", fix=fix, needed=True)
    return Row(name="disk", status="ok", found=found, needed=True)
