"""Holds plugins and what they offer to what is promised; every breach is told with what would do."""

from __future__ import annotations

from .offers import assert_conforms, check_offer_of
from .plugins import assert_plugin_conforms, check_plugin
from .report import Checks, Listener, Report, Row
from .supplies import Supplies

__all__ = [
    "Checks",
    "Listener",
    "Report",
    "Row",
    "Supplies",
    "assert_conforms",
    "assert_plugin_conforms",
    "check_offer_of",
    "check_plugin",
]
