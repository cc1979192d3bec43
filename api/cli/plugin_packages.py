"""`stretto plugins install` and `remove`: packages of plugins, into this environment or one of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from configparser import ConfigParser
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

import click
from stretto.host.errors import (
    ConfigurationError,
    NotFoundError,
    PluginError,
    StateConflictError,
    did_you_mean,
)
from stretto.host.settings import Settings

from .options import Place, place_options
from .pip_options import for_wheel, refuse_options
from .tables import table

if TYPE_CHECKING:
    from stretto.host.isolation.environments import Environment
    from stretto.host.isolation.isolation import Isolation
    from stretto.host.plugboard.discover import Found
    from stretto.host.plugboard.switches import Switches

__all__ = ["install_command", "remove_command"]


@click.command("install")
@click.argument("spec")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.option("--upgrade", is_flag=True, help="Take a newer release of what is installed.")
@click.option(
    "--isolated",
    is_flag=True,
    help="Make an environment of its own, in which the plugin runs in a process of its own.",
)
@place_options
def install_command(
    place: Place, *, spec: str, options: tuple[str, ...], upgrade: bool, isolated: bool
) -> None:
    """Install a plugin: a requirement such as `name>=1`, a wheel, or a project's folder.

    pip of this environment does it; what comes after `--` are pip's OPTIONS, but for those that install elsewhere
    (--target, --root, --prefix) or something else (-r, -e). What is no plugin is not installed.
    A running server takes it up with its next request.
    """
    from stretto.host.runtime.reloading import ring

    refuse_options(options)
    names = _apart(place, spec, options) if isolated else _here(place, spec, options, upgrade=upgrade)
    ring(place.folders.root)
    _show(place, names)


@click.command("remove")
@click.argument("name")
@place_options
def remove_command(place: Place, *, name: str) -> None:
    """Uninstall the package of a plugin, or its own environment, and take out what plugins.toml says of it."""
    from stretto.host.plugboard.alterations import mentions
    from stretto.host.plugboard.switches import read_switches
    from stretto.host.runtime.reloading import ring
    from stretto.host.runtime.switching import find

    switches = read_switches(place.plugins_file, place.folders.root)
    found = find(place.folders, switches)
    own = [one for one in found if one.name == name]
    if not own and not mentions(switches, name):
        raise NotFoundError(f"there is no plugin '{name}'; {did_you_mean(name, [one.name for one in found])}")
    if any(one.origin.startswith("isolated") for one in own):
        _take_out(place, switches, name)
    else:
        names = _uninstall(own, found, switches) if own else (name,)
        _forget(place, names)
    ring(place.folders.root)


# into an environment of its own


def _apart(place: Place, spec: str, options: Sequence[str]) -> tuple[str, ...]:
    from stretto.host.isolation.installing import put_in
    from stretto.host.plugboard.switches import read_switches

    switches = read_switches(place.plugins_file, place.folders.root)

    def check(environment: Environment) -> None:
        try:
            _come_up(place)
        except ConfigurationError as error:
            raise StateConflictError(
                f"{environment.distribution} was taken out again, for with it {error}"
            ) from error

    apart = _isolation(place, switches)
    environment, file = put_in(apart, switches, place.folders.root, spec, options, check)
    click.echo(
        f"{environment.distribution} {environment.version} is in {environment.folder}, and on in {file}"
    )
    return tuple(environment.plugins)


def _take_out(place: Place, switches: Switches, name: str) -> None:
    from stretto.host.isolation.installing import take_out

    environment, file = take_out(_isolation(place, switches), switches, place.folders.root, name)
    click.echo(f"removed: {environment.folder}, and what {file} said of {', '.join(environment.plugins)}")


def _isolation(place: Place, switches: Switches) -> Isolation:
    from stretto.host.isolation.isolation import isolated
    from stretto.host.runtime.host import Host
    from stretto.host.runtime.limits import usable_ram_bytes

    return isolated(switches, Host(place.folders, Settings(), switches), usable_ram_bytes)


# into this environment


def _here(place: Place, spec: str, options: Sequence[str], *, upgrade: bool) -> tuple[str, ...]:
    package, names = _looked_into(spec, options)
    before = _installed_version(package)
    again = _source(package)
    _pip("install", *(["--upgrade"] if upgrade else []), *options, "--", spec)
    try:
        _come_up(place)
    except ConfigurationError as error:
        if before is not None:
            if _installed_version(package) != before:
                _put_back(package, before, again, options, error)
            raise
        _pip("uninstall", "--yes", package)
        raise StateConflictError(f"{package} was uninstalled again, for with it {error}") from error
    return names


def _looked_into(spec: str, options: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Have the package's wheel fetched or built, and give its name and plugins; raises PluginError without one."""
    with tempfile.TemporaryDirectory(prefix="stretto-wheel-") as folder:
        _pip("wheel", "--no-deps", "--wheel-dir", folder, *for_wheel(options), "--", spec)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            kept = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
            metadata = HeaderParser().parsestr(archive.read(kept["METADATA"]).decode("utf-8"))
            entries = (
                archive.read(kept["entry_points.txt"]).decode("utf-8") if "entry_points.txt" in kept else ""
            )
    parser = ConfigParser(delimiters=("=",), strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation has it
    parser.read_string(entries)
    package = str(metadata["Name"])
    names = tuple(parser["stretto"]) if parser.has_section("stretto") else ()
    if not names:
        raise PluginError(
            f"{package} has no entry point in the group 'stretto', so it is no plugin; nothing was installed"
        )
    return package, names


def _installed_version(package: str) -> str | None:
    import importlib
    from importlib.metadata import PackageNotFoundError, version

    importlib.invalidate_caches()
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _source(package: str) -> str | None:
    """Give where an installed package can be had again: its archive (PEP 610), else its version; None without it."""
    import json
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(package)
    except PackageNotFoundError:
        return None
    said = json.loads(found.read_text("direct_url.json") or "{}")
    return str(said["url"]) if "archive_info" in said else f"{package}=={found.version}"


def _put_back(package: str, before: str, again: str | None, options: Sequence[str], why: Exception) -> None:
    """Install the release again that was there; raises StateConflictError with what came of it."""
    now = _installed_version(package)
    try:
        _pip("install", "--no-deps", *for_wheel(options), "--", again or f"{package}=={before}")
    except PluginError as error:
        raise StateConflictError(
            f"{package} {now} stays installed in place of {before}, which could not be had again from {again}, and the "
            f"host does not start with it: {why}; install {before} from where it is ({sys.executable} -m pip install "
            f"PATH), or uninstall it: {sys.executable} -m pip uninstall {package}"
        ) from error
    raise StateConflictError(f"{package} {before} was installed again, for with {now} {why}") from why


def _come_up(place: Place) -> None:
    """Open the host in a process that imports what is installed now; raises ConfigurationError when it cannot start."""
    import importlib

    from stretto.host.errors import PluginClashError
    from stretto.host.runtime.host import Host

    importlib.invalidate_caches()
    try:
        Host.open(place.folders, Settings(), plugins_file=place.plugins_file).close()
    except PluginClashError as error:
        from stretto.host.plugboard.settling import TURN_OFF

        clash = str(error).partition(TURN_OFF)[0]
        raise ConfigurationError(
            f"{clash}; disable the other one first: stretto plugins disable NAME"
        ) from error


def _uninstall(own: Sequence[Found], found: Iterable[Found], switches: Switches) -> tuple[str, ...]:
    """Uninstall the package of a plugin, and give the names of all its plugins."""
    one = own[-1]  # of two with one name, the one that is not taken
    if one.rank == 0:
        raise StateConflictError(
            f"the plugin '{one.name}' is the {one.origin}, which is not deleted; take it out of [host] paths in "
            f"{switches.source}, or turn it off: stretto plugins disable {one.name}"
        )
    if one.rank > 1:
        raise StateConflictError(
            f"the plugin '{one.name}' comes with the host; turn it off: stretto plugins disable {one.name}"
        )
    names = tuple(other.name for other in found if other.origin == one.origin)
    required = [name for name in names if name in switches.require]
    if required:
        raise StateConflictError(
            f"{switches.source} requires the plugin '{required[0]}'; take it out of `require` there first"
        )
    _pip("uninstall", "--yes", one.origin.removeprefix("package "))
    return names


def _forget(place: Place, names: tuple[str, ...]) -> None:
    from stretto.host.plugboard.alterations import Alteration, altered, sole_writer, write_text
    from stretto.host.plugboard.guard import enable
    from stretto.host.plugboard.switches import read_switches

    with sole_writer(place.folders.root):
        switches = read_switches(place.plugins_file, place.folders.root)
        text, wanted = altered(switches, Alteration(forget=names))
        for name in names:
            enable(place.folders.root, name)
        if wanted != switches:
            click.echo(f"{write_text(wanted, text)} says nothing of {', '.join(names)} any more")


def _pip(*words: str) -> None:
    """Run pip of this environment, its words on stderr as they come; raises PluginError when it fails."""
    from importlib.metadata import distributions

    if not any(distributions(name="pip")):
        raise ConfigurationError(f"{sys.executable} has no pip; install it: {sys.executable} -m ensurepip")
    done = subprocess.run(  # noqa: S603  # pip, with what the administrator asked for
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words], stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise PluginError(f"pip {words[0]} failed (exit code {done.returncode}); what it said stands above")


def _show(place: Place, names: Iterable[str]) -> None:
    from stretto.host.runtime.host import Host

    with Host.open(place.folders, Settings(), plugins_file=place.plugins_file) as host:
        rows = [row for row in host.plugins() if row.name in names]
    cells = []
    for row in rows:
        offers = "; ".join(f"{kind}: {', '.join(one)}" for kind, one in row.offers.items())
        last = "; ".join(words for words in (offers, row.reason) if words)
        cells.append((row.name, row.version or "-", row.origin, row.status, last or "-"))
    click.echo(table(("name", "version", "origin", "status", "offers"), cells))
