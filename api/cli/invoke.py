"""`stretto invoke`: one prompt, or one recorded plan, to pictures, in this process."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stretto.host.contracts.protocols import WITHHELD
from stretto.host.contracts.request import INTERNAL, InvocationRequest

from .assignments import Assignment
from .options import Place, as_json, own_command, place_options

if TYPE_CHECKING:
    from stretto.host.contracts.events import Finished
    from stretto.host.contracts.plan import Plan
    from stretto.host.runtime.host import Host

__all__ = ["invoke_command"]

# PROMPT is an argument of its own, and defaults are filled by the API.
PARAMETERS = tuple(
    field.name for field in dataclasses.fields(InvocationRequest) if field.name not in {"prompt", *INTERNAL}
)

# Nobody polls this process.
DEFAULTS = {"intermediates": False}


def _names() -> tuple[Collection[str], Sequence[str]]:
    from ..aliases import WORDS

    return {*PARAMETERS, *WORDS}, PARAMETERS


PARAMETER = Assignment("parameter", "width=256", _names, open_prefix="plugins.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is drawn: a prompt, or a plan from a file, or the plan in a picture; one of them."""

    prompt: str | None
    plan_file: Path | None
    replay: Path | None


@click.command("invoke")
@click.argument("prompt", required=False)
@click.option(
    "--set",
    "assignments",
    type=PARAMETER,
    multiple=True,
    help="Any parameter of the API by its own name, for example --set width=256 --set scheduler=eads "
    "--set 'upscale=[\"lanczos\"]', or a plugin's as plugins.NAME.KEY=VALUE. May be given many times.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of PROMPT: draw the plan in this file, as --dry-run prints it, to the same pixels.",
)
@click.option(
    "--replay",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Instead of PROMPT: draw what this PNG says it was drawn by, to the same pixels.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy the images there; they are always kept in the data folder.",
)
@as_json
@click.option("--dry-run", is_flag=True, help="Print the plan as JSON and draw nothing.")
@place_options
def invoke_command(
    place: Place,
    *,
    assignments: tuple[tuple[str, Any], ...],
    out: Path | None,
    as_json: bool,
    dry_run: bool,
    **source: Any,
) -> None:
    """Draw PROMPT in this process, no server needed.

    Prints the path of each image, its seed, the model and the seconds it took; the whole plan
    stands in the PNG's text chunks. Intermediates are not drawn unless --set intermediates=true.
    """
    from stretto.host.runtime.host import Host

    given = Source(**source)
    _check(given, assignments)
    if out is not None and not dry_run:
        _make(out)
    settings = place.settings()
    with closing(Host.open(place.folders, settings, plugins_file=place.plugins_file)) as host:
        plan = _planned(given, assignments, place, host)
        if dry_run:
            click.echo(json.dumps(plan.to_json(), indent=2))
            return
        finished, plan = _draw(host, plan)
    images = [_delivered(place.folders.images / name, out) for name in finished.images if name != WITHHELD]
    if as_json:
        click.echo(json.dumps(_summary(finished, plan, images), indent=2))
    else:
        _tell(finished, plan, images)


def _check(source: Source, assignments: tuple[tuple[str, Any], ...]) -> None:
    if sum(given is not None for given in (source.prompt, source.plan_file, source.replay)) != 1:
        raise click.UsageError("Give one of PROMPT, --plan and --replay.")
    if assignments and source.prompt is None:
        raise click.UsageError("A recorded plan is drawn as it is; --set goes with PROMPT.")


def _planned(source: Source, assignments: tuple[tuple[str, Any], ...], place: Place, host: Host) -> Plan:
    from stretto.host.planning.replay import found_again
    from stretto.host.planning.safety import guarded

    from ..fields import refuse_half_characters
    from ..inbox import ImageInbox
    from ..planned import plan_body
    from ..plugin_parameters import check_recorded, merged
    from .replay import plan_of_file, plan_of_picture
    from .stored import stored_planner

    if source.plan_file is not None:
        return guarded(found_again(check_recorded(host, plan_of_file(source.plan_file)), host), host)
    if source.replay is not None:
        return guarded(found_again(check_recorded(host, plan_of_picture(source.replay)), host), host)
    payload = {**DEFAULTS, **merged(assignments), "prompt": source.prompt}
    refuse_half_characters(payload)
    inbox = ImageInbox(host.folders, host.settings, allowed_roots=None)
    with stored_planner(place, host, payload) as plan:
        return plan_body(payload, inbox, plan)


def _draw(host: Host, plan: Plan) -> tuple[Finished, Plan]:
    """Draw, and give the plan as it is recorded: with the SHA-256 of every file, and what came of it."""
    from .progress import ProgressBar

    recorded = [plan]
    with ProgressBar() as bar:
        finished = host.run_here(plan, bar.show, recorded.append)
    return finished, recorded[-1]


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(
            f"{out} cannot be made: {error.strerror}; name another folder", param_hint="--out"
        ) from error
    if not os.access(out, os.W_OK):
        raise click.BadParameter(f"{out} cannot be written to; name another folder", param_hint="--out")


def _delivered(image: Path, out: Path | None) -> Path:
    if out is None:
        return image
    return Path(shutil.copy2(image, out / image.name))


def _summary(finished: Finished, plan: Plan, images: list[Path]) -> dict[str, Any]:
    return {
        "uuid": finished.job,
        "images": [str(image.absolute()) for image in images],
        "withheld": finished.images.count(WITHHELD),
        "seed": plan.seed,
        "model": plan.model.name or plan.model.path,
        "duration": round(finished.seconds, 3),
        "plan": plan.to_json(),
    }


def _tell(finished: Finished, plan: Plan, images: list[Path]) -> None:
    for image in images:
        click.echo(f"image    {image}")
    if withheld := finished.images.count(WITHHELD):
        click.echo(f"withheld {withheld}, by the safety checker")
    click.echo(f"seed     {plan.seed}")
    click.echo(f"model    {plan.model.name or plan.model.path}")
    click.echo(f"seconds  {finished.seconds:.2f}")
    if plan.acceleration is not None:
        ran = ", ".join(plan.acceleration.used) or "nothing"
        click.echo(f"engines  {plan.acceleration.requested} ran {ran}")
        for why in plan.acceleration.why:
            click.echo(f"torch    {why}")
    for note in finished.notes:
        click.echo(f"note     {note}")
    click.echo(f"\nTo serve the JSON API:  {own_command()} serve")
