"""What stands for an isolated plugin in the host: an object with the plugin's hooks, whose specs call its process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..contracts.models import WeightFile
from ..contracts.plain import plain
from ..contracts.plan import Plan
from ..contracts.protocols import Bench, Frame
from ..contracts.request import InvocationRequest
from ..contracts.specs import Spec
from ..contracts.steps import Step
from ..errors import PluginError
from ..hookspecs import hookimpl
from ..promise import DECLARATION
from .kinds import IMAGE_KINDS, ImageKind
from .remote import Remote
from .schema import Construct, made
from .telling import Teller
from .values import read_as

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["IsolatedPlugin", "Opened"]


class IsolatedPlugin:
    """A plugin object made of a description; its hooks are functions that are set on it."""

    def __init__(self, remote: Remote, description: Mapping[str, Any], version: str) -> None:
        self.__name__ = f"isolated plugin {remote.name}"
        self.__version__ = version
        self.remote = remote
        self._teller: Teller | None = None
        for word in ("Settings", "Parameters"):
            if description[word] is not None:
                setattr(self, word, made(description[word], _constructing(remote, word)))
        if description["api"] is not None:
            setattr(self, DECLARATION, description["api"])
        for name, offers in description["offers"].items():
            specs = [_spec(IMAGE_KINDS[name], offer, remote) for offer in offers]
            setattr(self, IMAGE_KINDS[name].hook, hookimpl(_giving(specs)))
        if description["offers"]:
            self.run_step = hookimpl(wrapper=True, tryfirst=True)(_stoppable(remote))
        hooks = description["hooks"]
        if "build_plan" in hooks:
            asking = _around_plan(remote) if hooks["build_plan"]["wrapper"] else _first_plan(remote)
            self.build_plan = hookimpl(**hooks["build_plan"])(asking)
        if "observe" in hooks:
            self._teller = Teller(remote)
            self.observe = hookimpl(_telling(self._teller))

    def close(self) -> None:
        """Tell what is still to be told, and let the process leave; idempotent."""
        if self._teller is not None:
            self._teller.close()
        self.remote.close()


def _constructing(remote: Remote, word: str) -> Construct:
    def construct(number: int, values: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = remote.call("construct", word=word, number=number, values=values)
        if "refused" in answer:
            raise ValueError(answer["refused"])
        got: Mapping[str, Any] = answer["values"]
        return got

    return construct


# Hooks are functions and no methods, so that a plugin has those alone that it says.


def _giving(specs: list[Spec]) -> Callable[[], Iterable[Spec]]:
    def register() -> Iterable[Spec]:
        return specs

    return register


def _stoppable(remote: Remote) -> Callable[..., Generator[None, Frame | None, Frame | None]]:
    def run_step(step: Step, bench: Bench) -> Generator[None, Frame | None, Frame | None]:
        with remote.checked(lambda: bench.tick(step.why, ticks=0)):  # raises CancelledError for a stopped job
            return (yield)

    return run_step


def _around_plan(remote: Remote) -> Callable[..., Generator[None, Plan | None, Plan | None]]:
    def build_plan(request: InvocationRequest) -> Generator[None, Plan | None, Plan | None]:
        plan = yield
        return _planned(remote, request, plan)

    return build_plan


def _first_plan(remote: Remote) -> Callable[..., Plan | None]:
    def build_plan(request: InvocationRequest) -> Plan | None:
        return _planned(remote, request, None)

    return build_plan


def _planned(remote: Remote, request: InvocationRequest, plan: Plan | None) -> Plan | None:
    answer = remote.call("build_plan", request=plain(request), plan=plain(plan))
    made_plan: Plan | None = read_as(Plan | None, answer, f"the plan of the plugin '{remote.name}'")
    return made_plan


def _telling(teller: Teller) -> Callable[..., None]:
    def observe(event: Any) -> None:
        teller.tell(event)

    return observe


# -- specs ---------------------------------------------------------------------------------------


def _spec(kind: ImageKind, offer: Mapping[str, Any], remote: Remote) -> Spec:
    data = {name: tuple(value) if isinstance(value, list) else value for name, value in offer["data"].items()}
    name = data["name"]

    def opening(how: str) -> Callable[..., Any]:
        def opened(*given: Any) -> Any:
            *files, device = given
            key = {
                "kind": kind.name,
                "name": name,
                "how": how,
                "weights": [plain(file) for file in _flat(files)],
                "device": device,
            }
            tiling = remote.call("open", **key)["pieces"]
            return _OPENED[kind.name, bool(tiling)](remote, key)

        return opened

    functions = {how: opening(how) for how in offer["functions"]}
    if offer["missing"] is not None:  # it may be there by now

        def missing() -> str | None:
            why: str | None = remote.call("missing", kind=kind.name, name=name)
            return why

        functions["missing"] = missing
    spec: Spec = kind.spec(**data, **functions)
    return spec


def _flat(files: Iterable[Any]) -> Iterator[WeightFile]:
    for file in files:
        if isinstance(file, WeightFile):
            yield file
        else:
            yield from file


@dataclass(frozen=True, slots=True)
class Opened:
    """What a plugin built in its process, by what it was built for."""

    remote: Remote
    key: Mapping[str, Any]

    def kept(self, what: str, image: Image, size: tuple[int, int], mode: str) -> Image:
        """Give a picture that is as promised; raises PluginError for another size (in px) or mode."""
        if (image.size, image.mode) != (size, mode):
            (width, height), wanted = image.size, f"{size[0]} x {size[1]} px in {mode}"
            raise PluginError(
                f"the plugin '{self.remote.name}' gave a picture of {width} x {height} px in {image.mode} in {what}; it "
                f"must be {wanted}"
            )
        return image

    def is_one(self) -> bool:
        """Say whether the plugin's process has one object of all that is built for this."""
        once: bool = self.remote.call("built_once", **self.key)
        return once


class _Upscaler(Opened):
    __slots__ = ()

    def upscale(self, image: Image, amount: int) -> Image:
        """Give `image` enlarged."""
        large = self.remote.picture("upscale", image, key=self.key, amount=amount)
        return self.kept("upscale", large, (image.width * amount, image.height * amount), image.mode)


class _TilingUpscaler(_Upscaler):
    __slots__ = ()

    def pieces(self, image: Image, amount: int) -> Iterator[tuple[Image, tuple[int, int]]]:
        """Give the parts of the enlarged picture."""
        run = next(self.remote.runs)
        piece = self.remote.piece("pieces", image, key=self.key, amount=amount, run=run)
        while piece is not None:
            yield piece
            piece = self.remote.piece("piece", None, run=run)


class _Preprocessor(Opened):
    __slots__ = ()

    def processed(self, image: Image) -> Image:
        """Give the control image."""
        return self.kept(
            "processed", self.remote.picture("processed", image, key=self.key), image.size, "RGB"
        )


class _Remover(Opened):
    __slots__ = ()

    def remove(self, image: Image) -> Image:
        """Give `image` without its background."""
        return self.kept("remove", self.remote.picture("remove", image, key=self.key), image.size, "RGBA")


_OPENED: Mapping[tuple[str, bool], type[Opened]] = {
    ("upscalers", False): _Upscaler,
    ("upscalers", True): _TilingUpscaler,
    ("preprocessors", False): _Preprocessor,
    ("preprocessors", True): _Preprocessor,
    ("background_removers", False): _Remover,
    ("background_removers", True): _Remover,
}
