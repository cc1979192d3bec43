"""What holds for every test: no network, one thread, and an environment left as it was found."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
