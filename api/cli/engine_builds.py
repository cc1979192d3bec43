"""`stretto engines build`: engines ahead of time, for this machine or for others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from stretto.host.contracts.events import EngineBuilt, Event
from stretto.host.errors import BadRequestError, EngineBuildError, EngineError, no_target

from .invoke import DEFAULTS, PARAMETER
from .options import Place, as_json, own_command, place_options
from .tables import table

if TYPE_CHECKING:
    from stretto.host.contracts.acceleration import Build
    from stretto.host.contracts.plan import Plan
    from stretto.host.contracts.specs import CompilerSpec
    from stretto.host.runtime.host import Host

__all__ = ["build_command"]

HEADS = ("component", "target", "engine", "state", "seconds", "bytes", "remarks")
SHORT = 12  # digits of a digest that are shown, and name an engine
ARCHIVE = "engines.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be built, as the options say it."""

    component: tuple[str, ...]
    target: tuple[str, ...]
    compiler: str | None


@click.command("build")
@click.argument("model")
@click.option(
    "--component",
    multiple=True,
    help="unet, controlled_unet, vae_decoder, vae_encoder, ..., inpaint_unet for that of the inpainting model, or "
    "refiner_unet for that of the refiner. "
    "May be given many times. [default: unet and vae_decoder]",
)
@click.option("--compiler", help="By whom. [default: the setting acceleration, else the first that can]")
@click.option(
    "--target",
    multiple=True,
    help="For which GPU, for example sm89. May be given many times. [default: this machine]",
)
@click.option(
    "--set",
    "assignments",
    type=PARAMETER,
    multiple=True,
    help="Any parameter of the API that says what is loaded and in which size, for example --set size=768 "
    "--set 'lora=[\"a.safetensors\"]'. May be given many times.",
)
@as_json
@place_options
def build_command(
    place: Place, *, model: str, assignments: tuple[tuple[str, Any], ...], as_json: bool, **wish: Any
) -> None:
    """Build engines of what MODEL loads, those that are not there yet, in this process.

    An engine for this machine is held against torch at once; one for another machine when it first runs there.
    """
    from stretto.host.runtime.host import Host

    if "model" in dict(assignments):
        raise click.UsageError("Name the model as MODEL, not with --set.")
    settings = place.settings()
    with closing(Host.open(place.folders, settings, plugins_file=place.plugins_file)) as host:
        rows = _built(host, _builds(place, host, Wish(**wish), {**dict(assignments), "model": model}))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo(table(HEADS, [_cells(row) for row in rows]))
        _tell_of_export(rows)
    failed = [f"{row['component']} for {row['target']}: {row['why']}" for row in rows if not row["digest"]]
    if failed:
        raise EngineBuildError("; ".join(failed))


def _builds(place: Place, host: Host, wish: Wish, parameters: Mapping[str, Any]) -> list[Plan]:
    """Give a plan for each engine; raises StrettoError for whatever is unknown before anything is loaded."""
    from stretto.host.planning.building import builds_of, pick_compiler, plan_build
    from stretto.host.runtime.gpu import compute_capability

    from ..engine_builds import PROMPT
    from ..fields import refuse_half_characters
    from ..inbox import ImageInbox
    from ..planned import plan_body
    from .stored import stored_planner

    named = {} if wish.compiler is None else {"acceleration": wish.compiler}
    payload = {**DEFAULTS, "prompt": PROMPT, **parameters, **named}
    refuse_half_characters(payload)
    inbox = ImageInbox(host.folders, host.settings, allowed_roots=None)
    with stored_planner(place, host, payload) as planned:
        plan = plan_body(payload, inbox, planned)
    asked = plan.acceleration.requested if plan.acceleration else None
    spec = pick_compiler(host, asked, on_gpu=bool(wish.target) or compute_capability() is not None)
    builds = builds_of(spec, wish.component, wish.target)
    _check_targets(spec, builds)
    return [plan_build(plan, build, host) for build in builds]


def _check_targets(spec: CompilerSpec, builds: Sequence[Build]) -> None:
    if not any(build.target for build in builds):
        return
    known = spec.build().targets()
    for build in builds:
        if build.target not in known:
            raise BadRequestError(no_target(spec.name, str(build.target), known))


def _built(host: Host, plans: Iterable[Plan]) -> list[dict[str, Any]]:
    """Build one engine after the other; one that fails does not keep the next from being built."""
    rows: list[dict[str, Any]] = []
    for plan in plans:
        try:
            rows += _one(host, plan)
        except EngineError as error:
            rows.append(_failed(plan.builds[0], str(error)))
    return rows


def _one(host: Host, plan: Plan) -> list[dict[str, Any]]:
    from .progress import ProgressBar

    heard: list[Event] = []
    with ProgressBar() as bar:

        def hear(event: Event) -> None:
            bar.show(event)
            heard.append(event)

        host.run_here(plan, hear)
    return [_row(event) for event in heard if isinstance(event, EngineBuilt)]


def _row(event: EngineBuilt) -> dict[str, Any]:
    return {
        "component": event.component,
        "compiler": event.compiler,
        "target": event.target,
        "digest": event.digest,
        "state": event.state,
        "seconds": event.seconds,
        "bytes": event.size_bytes,
        "why": event.why,
    }


def _failed(build: Build, why: str) -> dict[str, Any]:
    return {
        "component": str(build.component),
        "compiler": build.compiler,
        "target": build.target or "this machine",
        "digest": None,
        "state": "failed",
        "seconds": None,
        "bytes": None,
        "why": why,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["digest"] is None:
        return row["component"], row["target"], "-", row["state"], "-", "-", row["why"]
    remarks = f"is verified where it runs ({row['why']})" if row["why"] else "-"
    length = f"{row['bytes'] / 10**6:.1f} MB"
    short = row["digest"][:SHORT]
    return row["component"], row["target"], short, row["state"], f"{row['seconds']:.1f}", length, remarks


def _tell_of_export(rows: Sequence[Mapping[str, Any]]) -> None:
    away = [row["digest"][:SHORT] for row in rows if row["digest"] and row["why"]]
    if away:
        own = own_command()
        click.echo(f"\nTo take them there:  {own} engines export {ARCHIVE} {' '.join(away)}")
        click.echo(f"and on that machine: stretto engines import {ARCHIVE}")
