"""`stretto models`: which models there are and where they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click
from stretto.host.contracts.models import WeightKind
from stretto.host.errors import StrettoError, UnsupportedError

from .options import Place, as_json, place_options
from .stored import COMMANDS
from .tables import table

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

__all__ = ["models_group"]


@click.group("models")
def models_group() -> None:
    """Show which models there are and where they stand; keep some under names of their own."""


@contextmanager
def _opened(place: Place) -> Iterator[Host]:
    from stretto.host.runtime.host import Host

    with closing(Host.open(place.folders, place.settings(), plugins_file=place.plugins_file)) as host:
        yield host


@models_group.command("list")
@as_json
@place_options
def list_command(place: Place, *, as_json: bool) -> None:
    """List the models that plugins ship, then those in the model folders, then the stored ones."""
    with _opened(place) as host:
        found = [*_models(host), *_stored(place)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (
            row["name"],
            row["family"] or "?",
            f"{row['size_px'] or '?'} px",
            row["origin"],
            row["error"] or _place(row),
        )
        for row in found
    ]
    click.echo(table(("name", "family", "size", "origin", "path, or why it cannot be used"), rows))


@models_group.command("path")
@click.argument("name")
@place_options
def path_command(place: Place, *, name: str) -> None:
    """Print the folder of model NAME, in diffusers' layout.

    StableDiffusionPipeline.from_pretrained loads it as it stands.
    """
    with _opened(place) as host:
        file = host.resolve_model(name)
    if file.parts_from is not None:
        raise UnsupportedError(
            f"'{name}' is a UNet alone, in {file.path}; load '{file.parts_from.name}' and give it this `unet`"
        )
    if file.kind is not WeightKind.DIFFUSERS:
        raise UnsupportedError(
            f"'{name}' is one file, not a folder in diffusers' layout; "
            f"load it with StableDiffusionPipeline.from_single_file({file.path!r})"
        )
    click.echo(file.path)


def _models(host: Host) -> Iterator[dict[str, Any]]:
    offered = host.offers("models")
    for name in offered:
        yield _row(host, name, "plugin")
    for kind in (WeightKind.DIFFUSERS, WeightKind.CHECKPOINT):
        for name in host.library.names(kind):
            if name not in offered:
                yield _row(host, name, "folder")


def _place(row: dict[str, Any]) -> str:
    return (
        f"{row['path']}, with the other parts of {row['parts_from']}"
        if row["parts_from"]
        else str(row["path"])
    )


def _stored(place: Place) -> Iterator[dict[str, Any]]:
    from ..models import find_model, model_names

    if not place.has_database:
        return
    with place.records() as records:
        models = [find_model(records, name) for name in model_names(records)]
    for model in models:
        if model is not None:
            yield {
                "name": model.name,
                "kind": "model",
                "family": None,
                "size_px": model.size,
                "size_bytes": None,
                "origin": "stored",
                "path": model.model,
                "parts_from": None,
                "error": None,
            }


def _row(host: Host, name: str, origin: str) -> dict[str, Any]:
    """Describe one model; a file that cannot be used is a row that says why."""
    try:
        file = host.resolve_model(name)
    except StrettoError as error:
        return {
            "name": name,
            "family": None,
            "size_px": None,
            "origin": origin,
            "path": None,
            "error": str(error),
        }
    return {
        "name": file.name,
        "kind": file.kind.value,
        "family": file.family and file.family.value,
        "size_px": file.size_px,
        "size_bytes": file.size_bytes,
        "origin": origin,
        "path": file.path,
        "parts_from": file.parts_from and file.parts_from.name,
        "error": None,
    }


for _command in COMMANDS:
    models_group.add_command(_command)
