"""What is offered of one kind, by name and alias, each with the plugin that offers it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from ..contracts.routes import CommandSpec, RouteSpec
from ..contracts.specs import (
    BackgroundRemoverSpec,
    CompilerSpec,
    ControlNetSpec,
    LoaderSpec,
    ModelOffer,
    PatcherSpec,
    PreprocessorSpec,
    SchedulerSpec,
    Spec,
    UpscalerSpec,
    VaeSpec,
)
from ..errors import NotFoundError, PluginClashError, PluginError, did_you_mean
from .offer_rules import check_offer, exclusive_words

__all__ = ["KINDS", "Kind", "Registry"]

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of offer: the hook that asks for it, the specs it gives, its name for one in messages."""

    hook: str
    spec: type[Spec]
    word: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "models": Kind("register_models", ModelOffer, "model"),
        "schedulers": Kind("register_schedulers", SchedulerSpec, "scheduler"),
        "vaes": Kind("register_vaes", VaeSpec, "VAE"),
        "loaders": Kind("register_loaders", LoaderSpec, "loader"),
        "patchers": Kind("register_patchers", PatcherSpec, "patcher"),
        "controlnets": Kind("register_controlnets", ControlNetSpec, "ControlNet"),
        "preprocessors": Kind("register_preprocessors", PreprocessorSpec, "preprocessor"),
        "upscalers": Kind("register_upscalers", UpscalerSpec, "upscaler"),
        "background_removers": Kind(
            "register_background_removers", BackgroundRemoverSpec, "background remover"
        ),
        "compilers": Kind("register_compilers", CompilerSpec, "compiler"),
        "routes": Kind("register_routes", RouteSpec, "route"),
        "commands": Kind("register_commands", CommandSpec, "command"),
    }
)


def clash_words(what: str, first: str, second: str) -> str:
    """Say that two plugins offer the same."""
    return f"the plugins '{first}' and '{second}' both offer the {what}; turn one of them off"


class Registry(Generic[S]):
    """Specs of one kind, in the order in which their plugins are asked."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._specs: dict[str, S] = {}
        self._owners: dict[str, str] = {}  # by name and by alias
        self._names: dict[str, str] = {}  # name or alias -> name

    def add(self, spec: S, owner: str, clash: Callable[[str, str, str], str] = clash_words) -> None:
        """Take one spec from the plugin `owner`.

        Raises PluginClashError when another plugin has its name or an alias, in the words that `clash` makes of
        what both offer and of their names, and PluginError when `owner` itself has, or for an offer that cannot
        be served.
        """
        check_offer(spec)
        words = (spec.name, *spec.aliases, *exclusive_words(spec))
        for i, word in enumerate(words):
            if word in words[:i] or self._owners.get(word) == owner:
                raise PluginError(
                    f"it offers the {self._kind.word} '{word}' twice; give one of them another name"
                )
            if word in self._owners:
                raise PluginClashError(clash(f"{self._kind.word} '{word}'", self._owners[word], owner))
        for word in words:
            self._owners[word] = owner
            self._names[word] = spec.name
        self._specs[spec.name] = spec

    def drop(self, owner: str) -> None:
        """Forget all that the plugin `owner` offers."""
        gone = {word for word, holder in self._owners.items() if holder == owner}
        # others, since other threads may be going through these
        self._specs = {name: spec for name, spec in self._specs.items() if name not in gone}
        self._names = {word: name for word, name in self._names.items() if word not in gone}
        self._owners = {word: holder for word, holder in self._owners.items() if word not in gone}

    def get(self, name: str) -> S:
        """Give the spec of that name or alias; raises NotFoundError with the nearest name."""
        spec = self._specs.get(self._names.get(name, ""))
        if spec is None:
            hint = did_you_mean(name, self.names(), tuple(self._names))
            raise NotFoundError(f"there is no {self._kind.word} '{name}'; {hint}")
        return spec

    def owner(self, name: str) -> str:
        """Say which plugin offers that name or alias; raises NotFoundError with the nearest name."""
        return self._owners[self.get(name).name]

    def of(self, owner: str) -> tuple[str, ...]:
        """Give the names of what the plugin `owner` offers, aliases excluded."""
        return tuple(name for name in self._specs if self._owners.get(name) == owner)

    def names(self) -> tuple[str, ...]:
        """Give all names, aliases excluded."""
        return tuple(self._specs)

    def items(self) -> Iterable[tuple[str, S]]:
        """Give names and specs, aliases excluded."""
        return self._specs.items()

    def specs(self) -> Mapping[str, S]:
        """Give the specs by name, read-only."""
        return MappingProxyType(self._specs)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __len__(self) -> int:
        return len(self._specs)
