"""The virtual environments of isolated plugins, one folder each: made where they stay, known once they are whole.

A folder without its record is half made: whoever makes it holds the lock in it, and when nobody does, the next
one to make an environment takes it away.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from ..errors import ConfigurationError, NotFoundError, PluginError, did_you_mean
from ..hookspecs import PROJECT

__all__ = ["Environment", "environments", "made_environment", "remove_environment"]

_RECORD = "environment.json"
_LOCK = ".making"
_LAST_LINES = 12  # of what pip says when it fails


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment that is whole: what was asked for, which distribution that is, and its plugins' entry points."""

    folder: Path
    spec: str
    distribution: str
    version: str
    python: str  # its interpreter's cache tag, such as cpython-312
    plugins: dict[str, str] = field(default_factory=dict)

    @property
    def interpreter(self) -> Path:
        """Give the path of its Python."""
        return self.folder / "bin" / "python"

    @property
    def record(self) -> Path:
        """Give the file by which it is known."""
        return self.folder / _RECORD

    @classmethod
    def read(cls, record: Path) -> Self:
        """Read the record of one; raises ConfigurationError when it is damaged, FileNotFoundError when it is gone."""
        try:
            return cls(folder=record.parent, **json.loads(record.read_text("utf-8")))
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{record} is damaged ({error}); delete the folder {record.parent}"
            ) from error

    def write(self) -> None:
        """Write its record, which makes it known."""
        kept = {name: value for name, value in asdict(self).items() if name != "folder"}
        beside = self.folder / f"{_RECORD}.new"
        beside.write_text(json.dumps(kept, indent=1), "utf-8")
        beside.replace(self.record)


def environments(root: Path) -> tuple[Environment, ...]:
    """Give the environments under `root`; of one distribution the newest, if there are several for a moment."""
    found = {one.distribution: one for one in _recorded_in(root)}
    return tuple(found[name] for name in sorted(found))


def _recorded_in(root: Path) -> list[Environment]:
    """Give all that have a record, the oldest first; one that another command takes away meanwhile is none."""
    found = []
    for record in root.glob(f"*/{_RECORD}"):
        with suppress(FileNotFoundError):
            found.append((record.stat().st_mtime_ns, Environment.read(record)))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


@contextmanager
def made_environment(root: Path, spec: str, options: Sequence[str] = ()) -> Iterator[Environment]:
    """Make an environment with what pip installs for `spec`, and keep it if the `with` block does not raise.

    `options` are pip's (`--no-index`, `--find-links DIR`, ...). An older one of the same distribution goes.
    Raises PluginError with pip's last lines when it fails, or when what was installed is no plugin.
    """
    from filelock import FileLock

    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    folder = root / f"{_slug(spec)}-{secrets.token_hex(4)}"
    folder.mkdir()
    with FileLock(folder / _LOCK):
        try:
            environment = _filled(folder, spec, options)
            yield environment
            environment.write()
        except BaseException:
            _clear(folder)
            raise
    (folder / _LOCK).unlink(missing_ok=True)
    for other in _recorded_in(root):
        if other.folder != folder and other.distribution == environment.distribution:
            _drop(other)


def remove_environment(root: Path, plugin: str) -> Environment:
    """Take the environment of a plugin away, and give what it was; raises NotFoundError when there is none."""
    known = environments(root)
    for environment in known:
        if plugin in environment.plugins:
            _drop(environment)
            return environment
    names = [name for environment in known for name in environment.plugins]
    raise NotFoundError(f"no plugin '{plugin}' has an environment in {root}; {did_you_mean(plugin, names)}")


def _drop(environment: Environment) -> None:
    (environment.folder / _RECORD).unlink(missing_ok=True)  # from now on it is not known
    _clear(environment.folder)


def _clear(folder: Path) -> None:
    """Delete a folder; what another command deletes at the same time is gone all the same."""
    while folder.exists():
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


def _sweep(root: Path) -> None:
    """Take away what was left half made."""
    from filelock import FileLock, Timeout

    for folder in root.iterdir():
        if folder.is_dir() and not (folder / _RECORD).exists():
            try:
                with FileLock(folder / _LOCK, timeout=0):
                    _clear(folder)
            except (Timeout, FileNotFoundError):
                continue  # somebody is at it, or was


def _slug(spec: str) -> str:
    name = Path(spec).name if os.sep in spec else re.split(r"[\s<>=!~;\[@]", spec)[0]
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()[:40] or "plugin"


def _filled(folder: Path, spec: str, options: Sequence[str]) -> Environment:
    if not any(
        importlib.metadata.distributions(name="pip")
    ):  # to look for the module would put setuptools to work
        raise ConfigurationError(f"{sys.executable} has no pip; install it: {sys.executable} -m ensurepip")
    venv.EnvBuilder(symlinks=os.name == "posix").create(folder)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    _introduce(packages)
    return _recorded(folder, packages, spec, _installed(folder, spec, options))


def _introduce(packages: Path) -> None:
    """Let pip see this Stretto as installed; what is in it is shown to the process when it starts."""
    version = importlib.metadata.version(PROJECT)
    info = packages / f"{PROJECT}-{version}.dist-info"
    info.mkdir()
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {version}\n",
        "INSTALLER": f"{PROJECT}\n",
    }
    for name, text in files.items():
        (info / name).write_text(text, "utf-8")
    record = "".join(f"{info.name}/{name},,\n" for name in (*files, "RECORD"))
    (info / "RECORD").write_text(record, "utf-8")


def _installed(folder: Path, spec: str, options: Sequence[str]) -> str:
    """Have pip install `spec`, and give the name of the distribution that it is."""
    # pip must not take a package of that name from an index in place of this one
    bounds, report = folder / "constraints.txt", folder / "installed.json"
    bounds.write_text(f"{PROJECT}=={importlib.metadata.version(PROJECT)}\n", "utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--no-input"]
    pip += ["--disable-pip-version-check", "install", "--quiet", "--report", str(report)]
    done = subprocess.run(  # noqa: S603 - pip, with the administrator's words
        [*pip, "--constraint", str(bounds), *options, "--", spec],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-_LAST_LINES:])
        raise PluginError(f"pip could not install '{spec}' (exit code {done.returncode}):\n{said}")
    for one in json.loads(report.read_text("utf-8"))["install"]:
        if one["requested"]:
            return str(one["metadata"]["name"])
    raise PluginError(f"pip installed nothing for '{spec}'; name a package, a folder or a wheel")


def _recorded(folder: Path, packages: Path, spec: str, name: str) -> Environment:
    (distribution,) = importlib.metadata.distributions(name=name, path=[str(packages)])
    entries = {entry.name: entry.value for entry in distribution.entry_points if entry.group == PROJECT}
    if not entries:
        raise PluginError(f"'{spec}' is no plugin: {name} has no entry point in the group '{PROJECT}'")
    return Environment(
        folder=folder,
        spec=spec,
        distribution=name,
        version=distribution.version,
        python=str(sys.implementation.cache_tag),
        plugins=entries,
    )
