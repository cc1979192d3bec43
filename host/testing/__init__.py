"""For plugin authors and for us: fixtures, tiny models, and checks of what plugins offer.

As a pytest plugin this package is loaded in every test run, so what it names is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conformance import Report, Row, Supplies, assert_conforms, assert_plugin_conforms

__all__ = ["Report", "Row", "Supplies", "assert_conforms", "assert_plugin_conforms"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(".conformance", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
