"""The version of what `stretto.host` promises to plugins."""

from __future__ import annotations

__all__ = ["DECLARATION", "STRETTO_API", "USUAL_RANGE"]

# A step of the first number may break plugins, one of the second only adds; CHANGELOG.md says what to do.
STRETTO_API = "1.0"
# A plugin's module says with this name which versions it works with, as a PEP 440 specifier: ">=1.0,<2".
DECLARATION = "REQUIRES_STRETTO_API"
# All versions of a first number, which most plugins say; it fits by definition, and reading it would take the 10 ms
# that the library for specifiers needs to be imported.
_FIRST = int(STRETTO_API.partition(".")[0])
USUAL_RANGE = f">={_FIRST}.0,<{_FIRST + 1}"
