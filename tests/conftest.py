"""What holds for every test: no network, one thread, an environment left as it was found; and the order of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Set before any test module is imported, since torch and the hub read them at import.
os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_NUM_THREADS": "1"})
for name in [name for name in os.environ if name.startswith("STRETTO_")]:
    del os.environ[name]

# Set by pytest itself, and by libraries when they are first imported.
OTHERS = (
    "PYTEST_",
    "KMP_",
    "TORCHINDUCTOR_",
    "_TORCHINDUCTOR_",
    "TRITON_",
    "CUDA_MODULE_LOADING",
    "QT_",
    "TF_",
    "NUMBA_",
)

# What takes longest comes first where processes share the tests, so that none is left with it alone at the end.
LONGEST = (
    "docs/test_blocks.py",
    "host/runtime/test_acceleration.py",
    "host/runtime/test_queue.py",
    "parity/test_pipelines.py",
    "api/cli/test_plugin_new.py",
    "examples/test_packages.py",
    "parity/test_inpainting.py",
    "plugins/test_conformance.py",
    "host/runtime/test_guarding.py",
    "host/engine/test_graphs.py",
    "examples/test_clients.py",
    "api/test_serve.py",
    "host/runtime/test_builds.py",
    "plugins/compilers/test_tensorrt.py",
    "plugins/compilers/test_torch_compile.py",
    "parity/test_adapters.py",
    "host/runtime/test_ladder.py",
    "api/routes/test_plugins_at_work.py",
    "api/routes/test_engine_builds.py",
    "api/test_fuzz.py",
    "behaviour/test_regions.py",
    "plugins/test_controls.py",
    "parity/test_seamless.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first in each of several processes, the others as they come."""
    if hasattr(config, "workerinput"):
        folder = Path(__file__).parent
        places = {folder / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked slow unless it is asked for, before any fixture of it is made."""
    if item.get_closest_marker("slow") and "slow" not in item.config.getoption("markexpr"):
        pytest.skip("takes minutes or gigabytes; run with -m slow")


def _run(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    return item.config.pluginmanager.getplugin("runner").pytest_runtest_protocol(item, nextitem)


# CPython keeps frames in pieces of 16 KiB: a loop whose calls reach over the end of one maps and unmaps memory at
# every turn, at some depths for half of its time. A frame of a megabyte is given a piece with room for all below it.
_run.__code__ = _run.__code__.replace(co_stacksize=2**17 + 2**10)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    """Run a test where its frames have room."""
    return _run(item, nextitem)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}


@pytest.fixture(autouse=True)
def unleaked_environment() -> Iterator[None]:
    """Fail a test that changes os.environ and does not put it back."""
    before = _environment()
    yield
    after = _environment()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    for name in changed:
        os.environ.pop(name, None)
        if name in before:
            os.environ[name] = before[name]
    if changed:
        pytest.fail(f"the test left these environment variables changed: {', '.join(sorted(changed))}")
