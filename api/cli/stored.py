"""`stretto models add|show|remove|import`: stored models, and folders of another program used in place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stretto.host.errors import NotFoundError
from stretto.host.settings import MODEL_FOLDERS

from .options import Place, as_json, place_options
from .tables import table

if TYPE_CHECKING:
    from stretto.host.contracts.plan import Plan
    from stretto.host.contracts.request import InvocationRequest
    from stretto.host.runtime.host import Host

__all__ = ["COMMANDS", "stored_planner"]


class Setting(click.ParamType[tuple[str, Any]]):
    """KEY=VALUE of a stored model, where VALUE is JSON, or else plain text."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Split, check the key, and read the value."""
        from dataclasses import fields

        from stretto.host.errors import did_you_mean

        from ..model_form import ModelForm
        from ..plugin_parameters import PREFIX

        key, equals, text = str(value).partition("=")
        known = [field.name for field in fields(ModelForm)]
        if not equals:
            self.fail(f"'{value}' has no '='; write for example scheduler=ddim", param, ctx)
        if key not in known and not (key.startswith(PREFIX) and all(key.split("."))):
            self.fail(f"a model has no '{key}'; {did_you_mean(key, known)}", param, ctx)
        try:
            return key, json.loads(text)
        except json.JSONDecodeError:
            return key, text


@contextmanager
def stored_planner(
    place: Place, host: Host, payload: Mapping[str, object]
) -> Iterator[Callable[[InvocationRequest], Plan]]:
    """Give what plans a body, by stored models too where there is a database; none is made."""
    from ..plugin_parameters import plan_with_parameters
    from ..stored import planner

    if not place.has_database:
        yield lambda request: plan_with_parameters(host, request, host.plan)
        return
    with place.records() as records:
        yield planner(host, records, payload)


def _host(place: Place) -> Host:
    from stretto.host.runtime.host import Host

    return Host.open(place.folders, place.settings(), plugins_file=place.plugins_file)


@click.command("add")
@click.argument("name")
@click.option("--checkpoint", required=True, help="The model that it is: a name, file or folder.")
@click.option(
    "--set",
    "settings",
    type=Setting(),
    multiple=True,
    help="What is used with it, as in POST /api/models, for example --set scheduler=ddim --set guidance_scale=5 "
    '--set \'lora=[{"model": "a.safetensors", "weight": 0.5}]\', or of a plugin as plugins.NAME.KEY=VALUE. '
    "May be given many times.",
)
@place_options
def add_command(place: Place, *, name: str, checkpoint: str, settings: tuple[tuple[str, Any], ...]) -> None:
    """Keep CHECKPOINT as NAME, with what is to be used with it; `--set model=NAME` then draws with all that."""
    from stretto.host.planning.defaults import offer_of, size_px

    from ..model_form import read_form
    from ..models import add_model
    from ..plugin_parameters import merged

    with closing(_host(place)) as host, place.records() as records:
        weights = host.resolve_model(checkpoint)
        body = {"size": size_px(weights, offer_of(weights, host)), **merged(settings)}
        given = read_form({**body, "name": name, "checkpoint": checkpoint}, host)
        model = add_model(records, given)
    click.echo(f"kept {model.name}: {model.model}, {model.size} px")


@click.command("show")
@click.argument("name")
@as_json
@place_options
def show_command(place: Place, *, name: str, as_json: bool) -> None:
    """Show what the stored model NAME says."""
    from ..models import find_model
    from ..stored import defaults_of

    with place.records() as records:
        model = find_model(records, name)
    if model is None:
        raise NotFoundError(f"No model named {name}")
    values = {"model": model.model, **defaults_of(model)}
    for kind in ("lora", "lycoris", "inversion"):
        if kind in values:
            values[kind] = [{"model": one.model, "weight": one.weight} for one in values[kind]]
    if plugins := model.parts.config.get("plugins"):
        values["plugins"] = plugins
    if as_json:
        click.echo(json.dumps({"name": model.name, **values}, indent=2, ensure_ascii=False))
        return
    rows = [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in values.items()
    ]
    click.echo(table(("parameter", "value"), rows))


@click.command("remove")
@click.argument("name")
@place_options
def remove_command(place: Place, *, name: str) -> None:
    """Forget the stored model NAME; its files stay."""
    from ..models import remove_model

    with place.records() as records:
        remove_model(records, name)
    click.echo(f"removed {name}; its files are where they were")


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--kind", type=click.Choice(MODEL_FOLDERS), help="What is in FOLDER, if it is one kind of weights."
)
@click.option("--forget", is_flag=True, help="No longer use what was imported from FOLDER.")
@place_options
def import_command(place: Place, *, folder: Path, kind: str | None, forget: bool) -> None:
    """Use the weights in FOLDER, which another program keeps, where they are; nothing is copied or moved.

    Its folders are known by their names, in FOLDER or in FOLDER/models: checkpoints, Stable-diffusion, loras,
    embeddings, VAE, ControlNet, upscale_models and the like. A running server knows them at once.
    """
    from stretto.host.catalog.library import Library
    from stretto.host.catalog.places import found_places, keep_places

    found = found_places(folder, kind)
    keep_places(place.folders, found, forget=forget)
    if forget:
        click.echo(
            f"forgot {sum(len(paths) for paths in found.values())} folders; their files are where they were"
        )
        return
    library = Library(place.folders, {})
    rows = [
        (meant, f"{library.count(meant, path)} usable", str(path))
        for meant, paths in found.items()
        for path in paths
    ]
    click.echo(table(("kind", "weights", "used where it is"), rows))


COMMANDS = (add_command, show_command, remove_command, import_command)
