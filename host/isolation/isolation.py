"""Isolated plugins of one host: which there are, what they say of themselves, and their processes until the end."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from ..contracts.protocols import HostView
from ..errors import ConfigurationError, PluginError
from ..plugboard.discover import BUILT_INS, GROUP, Candidate, Found
from ..plugboard.switches import HOST_KEYS, Switches
from ..plugboard.tables import read_table
from ..settings import Folders, Settings
from .environments import Environment, environments, made_environment, remove_environment
from .kinds import HOOKS
from .process import Launch, Process
from .proxies import IsolatedPlugin
from .remote import Remote

__all__ = ["Isolation", "Limits", "isolated"]

_FORM = 2  # of descriptions; one that is kept in another is not read
_DESCRIPTIONS = 8  # of one plugin, for other tables or settings
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The keys of `[plugins.NAME]` that are the host's own."""

    isolated: bool = False
    time_limit_s: Annotated[float, Gt(0.0), Lt(math.inf)] = 60.0
    memory_limit_bytes: Annotated[int, Ge(2**26)] | None = None  # None: half of the usable RAM


class Isolation:
    """The isolated plugins of one host, until it is closed."""

    def __init__(
        self,
        folders: Folders,
        settings: Callable[[], Settings],
        switches: Switches,
        *,
        version: str,
        usable_bytes: Callable[[], int],
    ) -> None:
        self._folders = folders
        self._usable_bytes = usable_bytes
        self._settings = settings
        self._switches = switches
        self._version = version
        self._plugins: list[IsolatedPlugin] = []

    def limits(self, name: str) -> Limits:
        """Read the host's keys of a plugin's table; raises ConfigurationError naming file, table and key."""
        table = self._switches.tables.get(name, {})
        own = {key: table[key] for key in HOST_KEYS if key in table}
        return read_table(own, Limits, self._source(name))

    def candidates(self) -> tuple[Candidate, ...]:
        """Give what the board finds: the plugins that plugins.toml has isolated, and those whose line is missing.

        Raises ConfigurationError for a wrong value of the host's keys in a table, or for a built-in plugin.
        """
        wanted = [name for name in self._switches.tables if self.limits(name).isolated]
        for name in wanted:
            if name in BUILT_INS:
                raise ConfigurationError(
                    f"{self._source(name)} isolated: '{name}' comes with the host and runs in it; leave that out"
                )
        there = {name: one for one in self.environments() for name in one.plugins}
        found = [self._candidate(name, there.get(name)) for name in wanted]
        unsaid = [name for name in there if name not in wanted]
        if unsaid:
            installed = _installed()
            found += [self._unsaid(name, there[name]) for name in unsaid if name not in installed]
        return tuple(found)

    def _candidate(self, name: str, environment: Environment | None) -> Candidate:
        if environment is None:
            package = _installed().get(name, name)
            why = (
                f"{self._source(name)} has it isolated, and it has no environment of its own; make one: "
                f"stretto plugins install {package} --isolated"
            )
            return Candidate(Found(name=name, origin="isolated", version="", rank=1), partial(_refuse, why))
        return Candidate(_found(name, environment), partial(self.load, environment, name))

    def _unsaid(self, name: str, environment: Environment) -> Candidate:
        why = (
            f"it has an environment of its own and is not on; put `isolated = true` into [plugins.{name}] of "
            f"{self._switches.source}, or take it away: stretto plugins remove {name}"
        )
        return Candidate(replace(_found(name, environment), off=why), partial(_refuse, why))

    def environments(self) -> tuple[Environment, ...]:
        """Give the environments that there are."""
        return environments(self._folders.environments)

    def load(self, environment: Environment, name: str) -> IsolatedPlugin:
        """Give the object that stands for a plugin; starts its process only if it is not described yet.

        Raises PluginError for a plugin that cannot be imported or has what cannot be isolated.
        """
        if environment.python != (ours := _tag()):
            raise PluginError(
                f"its environment was made for {environment.python}, and the host runs on {ours}; make it anew: "
                f"stretto plugins install {environment.spec} --isolated"
            )
        launch = self._launch(environment, name)
        description = _described(environment, launch)
        remote = Remote(replace(launch, boot={**launch.boot, "serving": True}))
        plugin = IsolatedPlugin(remote, description, environment.version)
        self._plugins.append(plugin)
        return plugin

    def install(self, spec: str, options: Sequence[str] = ()) -> Environment:
        """Make an environment as `installing` does, and keep it."""
        with self.installing(spec, options) as environment:
            return environment

    @contextmanager
    def installing(self, spec: str, options: Sequence[str] = ()) -> Iterator[Environment]:
        """Make an environment with the plugins of a package, once each of them was imported in it.

        The `with` block finds it made; if that raises, it goes, and an older one of the package stays.

        `options` are pip's. Raises PluginError when pip fails, or a plugin cannot be imported or be isolated.
        """
        with made_environment(self._folders.environments, spec, options) as environment:
            for other in self.environments():
                for name in environment.plugins:
                    if name in other.plugins and other.distribution != environment.distribution:
                        raise PluginError(
                            f"'{spec}' has the plugin '{name}', and so has {other.distribution}; remove that first: "
                            f"stretto plugins remove {name}"
                        )
            for name in environment.plugins:
                _described(environment, self._launch(environment, name))
            environment.write()
            yield environment

    def remove(self, name: str) -> Environment:
        """Take a plugin's environment away; raises NotFoundError when there is none."""
        return remove_environment(self._folders.environments, name)

    def close(self) -> None:
        """Let all processes leave, at the same time; idempotent."""
        plugins, self._plugins = self._plugins, []
        if plugins:
            with ThreadPoolExecutor(len(plugins)) as pool:
                for done in [pool.submit(plugin.close) for plugin in plugins]:
                    done.result()

    def _launch(self, environment: Environment, name: str) -> Launch:
        limits = self.limits(name)
        most = limits.memory_limit_bytes
        return Launch(
            name=name,
            python=environment.interpreter,
            time_limit_s=limits.time_limit_s,
            memory_limit_bytes=(lambda: self._usable_bytes() // 2) if most is None else (lambda: most),
            settings=self._settings,
            boot={
                "name": name,
                "entry": environment.plugins[name],
                "version": self._version,
                "settings": asdict(self._settings()),
                "root": str(self._folders.root),
                "engines": None if self._folders.engine_dir is None else str(self._folders.engine_dir),
                "table": _sendable(self._switches.own_table(name), self._source(name)),
                "source": self._source(name),
                "serving": False,
            },
        )

    def _source(self, name: str) -> str:
        return f"{self._switches.source}: [plugins.{name}]"


def isolated(switches: Switches, view: HostView, usable_bytes: Callable[[], int]) -> Isolation:
    """Give the isolated plugins of a host; each may take half of the RAM that can be used, unless its table says."""
    return Isolation(
        view.folders, lambda: view.settings, switches, version=view.version, usable_bytes=usable_bytes
    )


def _sendable(value: Any, where: str) -> Any:
    """Give a value of TOML that JSON has; raises ConfigurationError for a date or a time, which nobody reads."""
    if isinstance(value, Mapping):
        return {key: _sendable(inner, f"{where} {key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [_sendable(inner, f"{where}[{i}]") for i, inner in enumerate(value)]
    if not isinstance(value, (str, int, float)):
        raise ConfigurationError(f"{where} cannot be the date or time {value}; put it in quotes")
    return value


def _found(name: str, environment: Environment) -> Found:
    return Found(
        name=name, origin=f"isolated {environment.distribution}", version=environment.version, rank=1
    )


def _refuse(why: str) -> object:
    raise PluginError(why)


def _installed() -> dict[str, str]:
    """Name the packages of the plugins that are installed beside the host, by plugin."""
    entries = importlib.metadata.entry_points(group=GROUP)
    return {entry.name: entry.dist.name for entry in entries if entry.dist}


def _tag() -> str:
    import sys

    return str(sys.implementation.cache_tag)


def _described(environment: Environment, launch: Launch) -> Mapping[str, Any]:
    """Give what a plugin says of itself: kept beside its environment, and asked for anew when what it depends on changed."""
    key = hashlib.sha256(
        json.dumps([_FORM, environment.version, launch.boot], sort_keys=True).encode()
    ).hexdigest()
    kept = environment.folder / "descriptions" / f"{key}.json"
    with suppress(FileNotFoundError):
        try:
            said: Mapping[str, Any] = json.loads(kept.read_text("utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"{kept} is damaged ({error}); delete it") from error
        return said
    process = Process(launch)
    try:
        process.boot()
        said = process.call("describe", {}, None, _nothing)
    finally:
        process.kill()
    _check(said)
    _keep(kept, said, _DESCRIPTIONS * len(environment.plugins))
    return said


def _check(said: Mapping[str, Any]) -> None:
    foreign = [hook for hook in said["hooks"] if hook not in HOOKS]
    if foreign:
        raise PluginError(
            f"it has {', '.join(foreign)}, which cannot run in a process of its own (what can: {', '.join(HOOKS)}); "
            "install it without --isolated"
        )
    if "fault" in said:
        raise PluginError(str(said["fault"]))


def _keep(kept: Path, said: Mapping[str, Any], most: int) -> None:
    try:
        kept.parent.mkdir(exist_ok=True)
        beside = kept.with_suffix(
            f".{secrets.token_hex(4)}.new"
        )  # the server and its worker may both be at it
        beside.write_text(json.dumps(said), "utf-8")
        beside.replace(kept)
        older = sorted(kept.parent.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        for path in older[:-most]:
            path.unlink(missing_ok=True)
    except OSError as error:  # each start asks the plugin again, then
        logger.warning("what the plugin says of itself cannot be kept in %s: %s", kept, error)


def _nothing() -> None:
    return None
