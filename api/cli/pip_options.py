"""pip's options that `stretto plugins install` takes: what goes to which of pip's commands, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

from stretto.host.errors import ConfigurationError

__all__ = ["for_wheel", "refuse_options"]

# `pip install` has these and `pip wheel`, which looks into the package first, has not.
_INSTALLS = (
    "--user",
    "--force-reinstall",
    "--ignore-installed",
    "-I",
    "--compile",
    "--no-compile",
    "--no-warn-script-location",
    "--no-warn-conflicts",
    "--break-system-packages",
)
_ELSEWHERE = "the package must come into an environment that the host knows; leave it out"
_OTHERS = "one package is installed at a time; name it in place of SPEC"
_REFUSED = {
    "--target": _ELSEWHERE,
    "-t": _ELSEWHERE,
    "--root": _ELSEWHERE,
    "--prefix": _ELSEWHERE,
    "--dry-run": "nothing would be installed; leave it out",
    "--report": "pip writes no report here; leave it out",
    "--editable": _OTHERS,
    "-e": _OTHERS,
    "--requirement": _OTHERS,
    "-r": _OTHERS,
    "--group": _OTHERS,
    "--upgrade": "it is an option of `stretto plugins install` itself; give it before the `--`",
    "-U": "it is `--upgrade` of `stretto plugins install` itself; give that before the `--`",
    "--upgrade-strategy": "what the package needs is upgraded where it must be; leave it out",
}


def refuse_options(options: Sequence[str]) -> None:
    """Raise ConfigurationError for an option of pip that would make `install` do something else, with what would do."""
    for word in options:
        name = word.split("=")[0] if word.startswith("--") else word[:2]
        if name in _REFUSED:
            raise ConfigurationError(f"pip's option {name} is not taken here: {_REFUSED[name]}")


def for_wheel(options: Sequence[str]) -> list[str]:
    """Give the options of `pip install` that `pip wheel` has too."""
    return [word for word in options if word not in _INSTALLS]
