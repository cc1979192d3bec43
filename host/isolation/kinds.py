"""What can be isolated: the offers that work on pictures alone, and their specs as data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..contracts.specs import BackgroundRemoverSpec, PreprocessorSpec, UpscalerSpec
from ..errors import PluginError

__all__ = ["HOOKS", "IMAGE_KINDS", "ImageKind"]


@dataclass(frozen=True, slots=True)
class ImageKind:
    """One kind of offer that takes pictures and gives pictures; `data` are the fields of its spec that are no functions."""

    name: str
    hook: str
    spec: Any  # a class of specs
    data: tuple[str, ...]
    functions: tuple[str, ...]

    def checked(self, answer: object) -> list[Any]:
        """Give what a hook gave as a list; raises PluginError for anything but specs."""
        specs = list(answer) if isinstance(answer, Iterable) else [answer]
        for spec in specs:
            if not isinstance(spec, self.spec):
                raise PluginError(
                    f"{self.hook} must return {self.spec.__name__}s, and one is {type(spec).__name__}"
                )
            for name in _WITH_PARAMETERS:
                if getattr(spec, name, None) is not None:
                    raise PluginError(
                        f"{self.hook} offers '{spec.name}' with `{name}`, which a plugin in a process of its own cannot "
                        "have: it sees no plan; leave it out, or install it without --isolated"
                    )
        return specs

    def said(self, spec: Any) -> dict[str, Any]:
        """Give a spec as data: what it says, which functions it has, and why it cannot work here."""
        missing: Callable[[], str | None] | None = getattr(spec, "missing", None)
        return {
            "data": {name: _plain(getattr(spec, name)) for name in self.data},
            "functions": [name for name in self.functions if getattr(spec, name) is not None],
            "missing": None if missing is None else missing(),
        }


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


_WITH_PARAMETERS = ("adjusted", "wanted")  # functions of specs that get a host and what is asked of it
_SHARED = ("name", "title", "aliases", "files")
IMAGE_KINDS: Mapping[str, ImageKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            ImageKind(
                "upscalers",
                "register_upscalers",
                UpscalerSpec,
                (*_SHARED, "source", "beside"),
                ("build", "open", "assemble"),
            ),
            ImageKind("preprocessors", "register_preprocessors", PreprocessorSpec, _SHARED, ("open",)),
            ImageKind(
                "background_removers",
                "register_background_removers",
                BackgroundRemoverSpec,
                (*_SHARED, "source"),
                ("build", "open"),
            ),
        )
    }
)
# All hooks that an isolated plugin may have.
HOOKS = (
    *(kind.hook for kind in IMAGE_KINDS.values()),
    "build_plan",
    "observe",
    "host_started",
    "host_stopping",
)
