"""The host's own run_step costs nothing until a step is run."""

from __future__ import annotations

import subprocess
import sys


def test_importing_it_brings_in_nothing_heavy():
    code = (
        "import sys; import stretto.host.steps.dispatch; "
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'PIL'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
