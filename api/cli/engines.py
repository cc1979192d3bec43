"""`stretto engines`: compiled engines listed, checked, removed, and carried between machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .engine_builds import build_command
from .options import Place, as_json, place_options
from .tables import table

if TYPE_CHECKING:
    from stretto.trt_cache.manifest import Manifest
    from stretto.trt_cache.store import EngineStore, StoredEngine

__all__ = ["engines_group"]

SHORT = 12  # digits of a digest that tables show
FEWEST = 4  # that name an engine
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SPANS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
HEADS = (
    "engine",
    "component",
    "model",
    "size",
    "compiler",
    "target",
    "state",
    "bytes",
    "last used",
    "remarks",
)
EMPTY = (
    "There are no engines in {folder}. `stretto engines build` builds them, and so does invoking with acceleration and "
    "build_tensorrt; `stretto engines import` takes in what was built elsewhere."
)
digests = click.argument("engines", metavar="[ENGINE]...", nargs=-1)


@click.group("engines")
def engines_group() -> None:
    """Build, show, check, remove, export and import compiled engines; an ENGINE is named by its first digits."""


engines_group.add_command(build_command)


class Measured(click.ParamType[float]):
    """A number with a unit, such as 20G or 30d."""

    def __init__(self, name: str, units: dict[str, int]) -> None:
        self.name = name
        self._units = units

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Split, and multiply."""
        text = str(value)
        unit = text[-1] if text[-1:] in self._units and text else ""
        try:
            number = float(text.removesuffix(unit))
            factor = self._units[unit]
        except (ValueError, KeyError):
            self.fail(f"'{value}' is none; write for example 20{next(reversed(self._units))}", param, ctx)
        if not 0 <= number < float("inf"):
            self.fail(f"'{value}' is below zero or without end", param, ctx)
        return number * factor


@contextmanager
def _said() -> Iterator[None]:
    """Turn what the cache raises into the host's errors."""
    from stretto.trt_cache.faults import CacheError

    from ..engines import in_our_words

    try:
        yield
    except CacheError as error:
        raise in_our_words(error) from error


@engines_group.command("list")
@as_json
@place_options
def list_command(place: Place, *, as_json: bool) -> None:
    """List the engines, the oldest first, with what is known of each."""
    store = _store(place)
    rows = [_values(engine) for engine in store.all()]
    broken = [
        {"digest": one.digest, "state": "newer" if one.newer else "unreadable", "remarks": one.why}
        for one in store.unreadable()
    ]
    if as_json:
        click.echo(json.dumps([*rows, *broken], indent=2))
        return
    cells = [_cells(row) for row in rows]
    cells += [(one["digest"][:SHORT], *("-" * 5), one["state"], "-", "-", one["remarks"]) for one in broken]
    click.echo(table(HEADS, cells))
    if not cells:
        click.echo(EMPTY.format(folder=store.root))


@engines_group.command("show")
@click.argument("engine")
@place_options
def show_command(place: Place, *, engine: str) -> None:
    """Print the manifest of an ENGINE as JSON: key, files, how and of what it was made, and how it did."""
    store = _store(place)
    with _said():
        stored = store.verify(_digest(store, engine))
    found = {**stored.manifest.to_json(), "state": stored.state.value, "path": str(stored.path)}
    click.echo(json.dumps({**found, "remarks": _remarks(stored)}, indent=2, ensure_ascii=False))


@engines_group.command("verify")
@digests
@as_json
@place_options
def verify_command(place: Place, *, engines: tuple[str, ...], as_json: bool) -> int:
    """Read all files of ENGINEs, or of all, and hold them against their manifests; exits with 1 for any damage.

    Whether an engine computes what torch does is found where it first runs; see its state in the list.
    """
    store = _store(place)
    with _said():
        found = [_examined(store, digest) for digest in _chosen(store, engines)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        rows = [
            (str(row["digest"])[:SHORT], str(row["state"]), str(row["why"]) or "as it was built")
            for row in found
        ]
        click.echo(table(("engine", "state", "files"), rows))
    return 0 if all(row["sound"] for row in found) else 1


@engines_group.command("prune")
@click.option("--older-than", type=Measured("TIME", SPANS), help="Not used for this long: 12h, 30d, 8w.")
@click.option(
    "--max-size",
    type=Measured("SIZE", UNITS),
    help="The longest unused, until the rest is at most this: 500M, 20G.",
)
@click.option(
    "--orphaned", is_flag=True, help="Whose weights are gone or changed; reads the files of weights."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@as_json
@place_options
def prune_command(
    place: Place,
    *,
    older_than: float | None,
    max_size: float | None,
    orphaned: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove engines by age, by size or without weights, and what killed builds have left."""
    if older_than is None and max_size is None and not orphaned:
        raise click.UsageError("Say what may go: --older-than, --max-size, --orphaned.")
    with _orphans(place, wanted=orphaned) as is_orphan, _said():
        store = _store(place)
        if not dry_run:
            store.sweep()
        limit = None if max_size is None else int(max_size)
        gone = store.prune(older_than, limit, is_orphan, dry=dry_run)
    if as_json:
        click.echo(json.dumps([{**_values(engine), "why": why} for engine, why in gone], indent=2))
        return
    for engine, why in gone:
        click.echo(f"{'would remove' if dry_run else 'removed'} {_named(engine)}: {why}")
    freed = sum(engine.manifest.size_bytes for engine, _ in gone)
    click.echo(f"{len(gone)} engines, {_length(freed)}{' could go' if dry_run else ''}")


@engines_group.command("remove")
@click.argument("engines", metavar="ENGINE...", nargs=-1, required=True)
@place_options
def remove_command(place: Place, *, engines: tuple[str, ...]) -> None:
    """Remove ENGINEs, damaged and unreadable ones too; whoever wants one builds it again."""
    store = _store(place)
    with _said():
        for digest in _chosen(store, engines):
            store.remove(digest, timeout_s=1.0)
            click.echo(f"removed {digest[:SHORT]}")


@engines_group.command("export")
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@digests
@place_options
def export_command(place: Place, *, archive: Path, engines: tuple[str, ...]) -> None:
    """Write ENGINEs, or all that are sound, into the new file ARCHIVE (tar) for another machine."""
    from stretto.trt_cache.store import State

    store = _store(place)
    chosen = (
        _chosen(store, engines)
        if engines
        else [one.digest for one in store.all() if one.state is not State.DAMAGED]
    )
    with _said():
        written = store.export(chosen, archive)
    for engine in written:
        click.echo(f"exported {_named(engine)}")
    click.echo(f"{len(written)} engines, {_length(archive.stat().st_size)} in {archive}")


@engines_group.command("import")
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@place_options
def import_command(place: Place, *, archive: Path) -> None:
    """Take in the engines of ARCHIVE that are not here yet; each is verified when it first runs."""
    store = _store(place)
    with _said():
        taken = store.import_(archive)
    for engine in taken:
        click.echo(f"imported {_named(engine)}")
    click.echo(f"{len(taken)} engines are new here")


# -- what the commands share -------------------------------------------------------------------


def _store(place: Place) -> EngineStore:
    from stretto.trt_cache.store import EngineStore

    return EngineStore(place.folders.engines)


@contextmanager
def _orphans(place: Place, *, wanted: bool) -> Iterator[Callable[[Manifest], bool] | None]:
    if not wanted:
        yield None
        return
    from stretto.host.runtime.host import Host

    from ..engines import Engines

    with closing(Host.open(place.folders, place.settings(), plugins_file=place.plugins_file)) as host:
        yield Engines(host).orphaned


def _examined(store: EngineStore, digest: str) -> dict[str, Any]:
    """Read all files of an engine and say how they are."""
    from stretto.trt_cache.faults import UnreadableError
    from stretto.trt_cache.store import State

    try:
        stored = store.verify(digest)
    except UnreadableError as error:
        state = "newer" if error.newer else "unreadable"
        return {"digest": digest, "sound": False, "state": state, "why": str(error)}
    sound = stored.state is not State.DAMAGED
    return {"digest": digest, "sound": sound, "state": stored.state.value, "why": stored.why}


def _chosen(store: EngineStore, engines: tuple[str, ...]) -> list[str]:
    if engines:
        return [_digest(store, engine) for engine in engines]
    return [*(one.digest for one in store.all()), *(one.digest for one in store.unreadable())]


def _digest(store: EngineStore, start: str) -> str:
    """Find the one engine whose digest begins so; raises NotFoundError or BadRequestError."""
    from stretto.host.errors import BadRequestError, NotFoundError

    found = [digest for digest in _chosen(store, ()) if digest.startswith(start)]
    if len(start) < FEWEST:
        raise BadRequestError(f"'{start}' is too short; give {FEWEST} digits of a digest, or more")
    if not found:
        raise NotFoundError(f"no engine in {store.root} begins with '{start}'; see `stretto engines list`")
    if len(found) > 1:
        raise BadRequestError(
            f"{len(found)} engines begin with '{start}'; give more digits: {', '.join(found)}"
        )
    return found[0]


def _values(engine: StoredEngine) -> dict[str, Any]:
    manifest, key = engine.manifest, engine.key
    used = manifest.last_used
    return {
        "digest": engine.digest,
        "component": key.component,
        "model": manifest.model.model,
        "size_px": manifest.model.size_px,
        "precision": key.precision,
        "compiler": key.compiler,
        "version": key.version,
        "target": key.target,
        "state": engine.state.value,
        "bytes": manifest.size_bytes,
        "created_at": manifest.created_at.isoformat(timespec="seconds"),
        "last_used": used and used.isoformat(timespec="seconds"),
        "build_s": manifest.build_s,
        "peak_bytes": manifest.peak_bytes,
        "remarks": _remarks(engine),
    }


def _remarks(engine: StoredEngine) -> str:
    from stretto.host.runtime.targets import foreign

    adapters = [
        one.name for kind in ("lora", "lycoris", "inversion") for one in engine.manifest.model.of(kind)
    ]
    parity = engine.manifest.parity or {}
    said = [
        engine.why,
        str(parity.get("why") or "") if engine.state.value == "quarantined" else "",
        f"foreign: {why}" if (why := foreign(engine.key.target)) else "",
        f"with {', '.join(adapters)}" if adapters else "",
    ]
    return "; ".join(words for words in said if words)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["digest"][:SHORT],
        row["component"],
        row["model"],
        f"{row['size_px']} px",
        row["compiler"],
        row["target"],
        row["state"],
        _length(row["bytes"]),
        (row["last_used"] or "never").replace("T", " ").removesuffix("+00:00"),
        row["remarks"] or "-",
    )


def _named(engine: StoredEngine) -> str:
    key = engine.key
    return f"{engine.digest[:SHORT]} ({engine.manifest.model.model} {key.component}, {key.compiler} for {key.target})"


def _length(size_bytes: int) -> str:
    return f"{size_bytes / 10**6:.1f} MB"
