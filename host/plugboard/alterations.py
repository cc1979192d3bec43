"""Changes of plugins.toml: which plugin is on, who is asked first, a plugin's settings; the rest stays, comments too."""

from __future__ import annotations

import os
import secrets
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, StateConflictError
from .merging import add, merge, merged
from .switches import FILE_NAME, Switches, parse_switches

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

__all__ = ["Alteration", "altered", "mentions", "sole_writer", "write_text"]

LISTS = ("disable", "order", "require")
LOCK = ".plugins.lock"  # in the data directory
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Alteration:
    """What is to be different; None, or nothing, leaves a part as it is.

    `settings` are keys of `[plugins.NAME]` by plugin, where None takes a key out; what is not named in a
    table within stays. `forget` takes all that is said of a plugin out.
    """

    enable: Sequence[str] = ()
    disable: Sequence[str] = ()
    order: Sequence[str] | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forget: Sequence[str] = ()


def altered(switches: Switches, alteration: Alteration) -> tuple[str, Switches]:
    """Give the text of plugins.toml after an alteration, and what it means; nothing is written.

    Raises ConfigurationError for a file that cannot be read, or values that TOML has not.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = _target(switches)
    try:
        before = file.read_bytes().decode("utf-8") if file.is_file() else ""
        document = tomlkit.parse(before)
        if "host" not in document and (alteration.disable or alteration.order is not None):
            document = tomlkit.parse(_with_host(before))
        fresh = _apply(document, alteration)
        text = _dumped(document)
        for name, values in fresh.items():
            text = _with_table(text, name, values)
        for name in alteration.forget:
            text = _without_table(text, name)
        _check_settings(text, switches, alteration)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    except (TOMLKitError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{file} cannot be changed here ({error}); edit it by hand") from error
    return text, parse_switches(text, file)


def mentions(switches: Switches, name: str) -> bool:
    """Say whether plugins.toml says anything of a plugin."""
    return name in switches.tables or any(name in getattr(switches, key) for key in LISTS)


@contextmanager
def sole_writer(data_dir: Path) -> Iterator[None]:
    """Keep every other command and server from changing plugins.toml meanwhile.

    Raises StateConflictError when somebody else is at it for ten seconds.
    """
    from filelock import FileLock, Timeout

    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(data_dir / LOCK, timeout=PATIENCE_S):
            yield
    except Timeout as error:
        raise StateConflictError(
            f"the plugins of {data_dir} are being changed by another command; try again"
        ) from error


def write_text(switches: Switches, text: str) -> Path:
    """Write plugins.toml, whole or not at all, and give its path; a link stays one, and its mode stays."""
    file = Path(os.path.realpath(_target(switches)))
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    try:
        with beside.open("x", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            shutil.copymode(file, beside)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    return file


def _target(switches: Switches) -> Path:
    return switches.target or Path(FILE_NAME).absolute()


def _apply(document: TOMLDocument, alteration: Alteration) -> dict[str, dict[str, Any]]:
    """Change a document, and give the tables of plugins that it does not have yet."""
    for name in alteration.forget:
        for key in LISTS:
            _take_out(document, key, name)
    for name in alteration.enable:
        _take_out(document, "disable", name)
    for name in alteration.disable:
        _put_in(document, "disable", name)
    if alteration.order is not None:
        _set_order(document, alteration.order)
    fresh = {}
    tables: Any = document.get("plugins", {})
    for name, values in alteration.settings.items():
        if name in tables:
            merge(tables[name], values)
        else:
            fresh[name] = merged(None, values)
    return {name: values for name, values in fresh.items() if values}


def _dumped(document: TOMLDocument) -> str:
    import tomlkit

    text = tomlkit.dumps(document)
    if tomllib.loads(text) != document.unwrap():
        raise ValueError("it is written in a way that only its author can change")
    return text


def _check_settings(text: str, switches: Switches, alteration: Alteration) -> None:
    """Raise ValueError where a text does not say what settings are to be."""
    file = _target(switches)
    before = tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
    tables = tomllib.loads(text).get("plugins", {})
    for name, values in alteration.settings.items():
        wanted = merged(before.get("plugins", {}).get(name), values)
        if name not in alteration.forget and tables.get(name, {}) != wanted:
            raise ValueError(f"the table of {name} is written in a way that only its author can change")


def _with_host(text: str) -> str:
    """Add an empty `[host]` before the first table and the comment right above that, which is about it."""
    lines = text.splitlines(keepends=True)
    at = next((number for number, line in enumerate(lines) if line.lstrip().startswith("[")), None)
    if at is not None:
        while at and lines[at - 1].lstrip().startswith("#"):
            at -= 1
        end = "\r\n" if "\r\n" in text else "\n"
        whole = "".join((*lines[:at], f"[host]{end}{end}", *lines[at:]))
        if _means(whole, {**tomllib.loads(text), "host": {}}):
            return whole
    return f"{text.rstrip()}\n\n[host]\n" if text.strip() else "[host]\n"


def _names(document: TOMLDocument, key: str) -> Any:
    host: Any = document["host"]
    if key not in host:
        add(host, key, [])
    return host[key]


def _take_out(document: TOMLDocument, key: str, name: str) -> None:
    names = document.get("host", {}).get(key, [])
    while name in names:
        names.remove(name)


def _put_in(document: TOMLDocument, key: str, name: str) -> None:
    names = _names(document, key)
    if name not in names:
        names.append(name)


def _set_order(document: TOMLDocument, names: Sequence[str]) -> None:
    before = _names(document, "order")
    if list(before) == list(names):
        return
    if "#" in before.as_string():
        document["host"]["order"] = _reordered(before, names)
        return
    for name in list(before):
        before.remove(name)
    for name in names:
        before.append(name)


def _reordered(before: Any, names: Sequence[str]) -> Any:
    """Give an array of `names`, a line each, with the comments above and beside those that were there before."""
    import tomlkit
    from tomlkit.items import Null

    said: dict[str, tuple[list[str], str | None]] = {}
    above: list[str] = []
    for group in before._value:  # noqa: SLF001 - tomlkit shows comments within arrays nowhere else
        text = None if group.comment is None else group.comment.as_string().strip().removeprefix("#").strip()
        if group.value is None or isinstance(group.value, Null):
            above += [] if text is None else [text]
        else:
            said[str(group.value)] = above, text
            above = []
    made = tomlkit.array()
    for name in names:
        lines, beside = said.get(name, ([], None))
        for line in lines:
            made.add_line(comment=line)
        made.add_line(name, comment=beside)
    for line in above:  # below the last one
        made.add_line(comment=line)
    made.add_line(indent="")
    return made


def _with_table(text: str, name: str, values: Mapping[str, Any]) -> str:
    """Add `[plugins.NAME]` at the end."""
    import tomlkit

    front = f"{text.rstrip()}\n\n" if text.strip() else ""
    whole = front + tomlkit.dumps({"plugins": {name: values}})
    tomllib.loads(whole)
    return whole


def _without_table(text: str, name: str) -> str:
    """Take `[plugins.NAME]` out, with its keys; comments after them are the next table's, and stay."""
    meant = tomllib.loads(text)
    if name not in meant.get("plugins", {}):
        return text
    del meant["plugins"][name]
    if not meant["plugins"]:
        del meant["plugins"]
    lines = text.splitlines(keepends=True)
    heads = [number for number, line in enumerate(lines) if line.lstrip().startswith("[")]
    for begin in heads:
        for end in (*(head for head in heads if head > begin), len(lines)):
            last = next(at for at in range(end, begin, -1) if lines[at - 1].split("#")[0].strip())
            left = "".join(lines[:begin] + lines[last:])
            if _means(left, meant):
                return left
    raise ValueError(f"the table of {name} cannot be told from the rest")


def _means(text: str, meant: Mapping[str, Any]) -> bool:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return found == meant or {**found, "plugins": found.get("plugins") or None} == {**meant, "plugins": None}
