"""Puts isolated plugins in and takes them out: the environment, and the line of plugins.toml that turns it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..plugboard.alterations import Alteration, altered, sole_writer, write_text
from ..plugboard.switches import Switches
from .environments import Environment
from .isolation import Isolation

__all__ = ["put_in", "take_out"]


def put_in(
    apart: Isolation,
    switches: Switches,
    data_dir: Path,
    spec: str,
    options: Sequence[str] = (),
    check: Callable[[Environment], None] | None = None,
) -> tuple[Environment, Path]:
    """Install a package in an environment of its own and have plugins.toml say so; gives it and that file.

    `options` are pip's; `check` is called when both are there. Raises PluginError when pip fails or a plugin of the
    package cannot be imported or isolated, and what `check` raises, and then nothing is changed.
    """
    with apart.installing(spec, options) as environment, sole_writer(data_dir):
        lines = {name: {"isolated": True} for name in environment.plugins}
        text, wanted = altered(switches, Alteration(enable=tuple(lines), settings=lines))
        target = wanted.file or switches.target
        before = target.read_bytes().decode("utf-8") if target is not None and target.is_file() else None
        file = write_text(switches, text)
        try:
            if check is not None:
                check(environment)
        except BaseException:
            if before is None:
                file.unlink()
            else:
                write_text(switches, before)
            raise
    return environment, file


def take_out(apart: Isolation, switches: Switches, data_dir: Path, name: str) -> tuple[Environment, Path]:
    """Take a plugin's environment away, with all that plugins.toml says of the plugins in it.

    Raises NotFoundError when it has none.
    """
    environment = apart.remove(name)
    return environment, _write(switches, data_dir, Alteration(forget=tuple(environment.plugins)))


def _write(switches: Switches, data_dir: Path, alteration: Alteration) -> Path:
    with sole_writer(data_dir):
        text, _ = altered(switches, alteration)
        return write_text(switches, text)
