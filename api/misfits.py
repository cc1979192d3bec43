"""What is wrong with settings beyond their types and ranges: they name what is not here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from stretto.host.errors import BadRequestError, Fault, NotFoundError
from stretto.host.planning.safety import unchecked

from .addresses import checked_url
from .models import find_model

if TYPE_CHECKING:
    from stretto.host.runtime.host import Host

    from .entities import Records

__all__ = ["find_misfits"]


def find_misfits(host: Host, records: Records, given: Mapping[str, object]) -> Iterator[Fault]:
    """Find a model and a safety checker that are not here, without which every invocation would be refused.

    And a `civitai_url` that nothing can be read from.
    """
    yield from unchecked(given, host.folders)
    yield from _unread(given.get("civitai_url"))
    name = given.get("model")
    if isinstance(name, str) and find_model(records, name) is None:
        try:
            host.resolve_model(name, kinds=("diffusers", "checkpoint"))
        except (BadRequestError, NotFoundError) as error:
            yield Fault(field="model", message=str(error))


def _unread(url: object) -> Iterator[Fault]:
    if isinstance(url, str):
        try:
            checked_url(url, private=True)  # it may name this machine, on purpose
        except BadRequestError as error:
            yield Fault(field="civitai_url", message=str(error).removeprefix("url: "))
