"""A request on its way to a plan: what it asks for, what the host has, and what was wrong or worth telling."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..contracts.models import WeightFile
from ..contracts.protocols import HostView
from ..contracts.request import InvocationRequest
from ..contracts.specs import ModelOffer
from ..errors import BadRequestError, Fault, NotFoundError, WeightsError
from .masks import Voice

__all__ = ["REFUSED", "Draft"]

REFUSED = (BadRequestError, NotFoundError, WeightsError)  # of weights: not to be read, not there, broken


@dataclass(slots=True)
class Draft:
    """A request being resolved, with the base model that it draws with."""

    request: InvocationRequest
    host: HostView
    weights: WeightFile
    offer: ModelOffer | None
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fault(self, name: str, message: str) -> None:
        """Note what is wrong with the parameter `name`."""
        self.faults.append(Fault(field=name, message=message))

    def note(self, text: str) -> None:
        """Note what is worth telling, once."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def voice(self) -> Voice:
        """Give this draft's faults and notes to speak into."""
        return Voice(fault=self.fault, note=self.note)

    def offered(self, kind: str, name: str, word: str | None) -> str | None:
        """Give the proper name of an offer; a word that nobody offers is a fault of the parameter `name`."""
        if word is None:
            return None
        try:
            return str(self.host.offer(kind, word).name)
        except NotFoundError as error:
            self.fault(name, str(error))
            return None
