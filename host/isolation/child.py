"""The plugin's process: imports the plugin, says what it has, and answers the host's calls one after the other."""

from __future__ import annotations

import errno
import inspect
import os
import socket
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from ..contracts.models import WeightFile
from ..contracts.plain import plain
from ..contracts.plan import Plan
from ..contracts.request import InvocationRequest
from ..errors import PluginError, StrettoError
from ..hookspecs import PROJECT, HostSpecs, hookimpl
from ..plugboard.parameters import declaration_fault
from ..promise import DECLARATION
from ..settings import Folders, Settings
from .declared import Declared
from .kinds import IMAGE_KINDS
from .line import Line
from .pictures import given, put
from .values import error_json, event_from, packed, read_as
from .view import IsolatedView

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["serve"]

_OPEN = 2  # things that were built and are kept, the one used last longest
_MOST_WORDS = 2000  # characters of what was raised
_AT_ONCE = 8  # pictures that are made piece by piece
# what a process that leaks, or has closed the files of others, never recovers from
_SPENT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBADF)


def serve(pipe: int, memory: int) -> None:
    """Answer calls until the host says that it stops, or is gone."""
    line = Line(socket.socket(fileno=pipe))
    os.register_at_fork(after_in_child=line.close)  # what the plugin forks has no part in the answers,
    os.register_at_fork(after_in_child=partial(os.close, memory))  # nor in their pictures
    try:
        boot = line.receive()
        servant = Servant(boot, memory)
        line.send_packed(_answered(servant.load, {"turn": boot["turn"]}))
        while True:
            message = line.receive()
            line.send_packed(_answered(getattr(servant, f"do_{message.pop('call')}"), message))
            if servant.stopped:
                return
    except (EOFError, OSError):
        os._exit(1)  # nobody listens any more


def _answered(work: Callable[..., Any], message: dict[str, Any]) -> bytes:
    """Give the message of what a call comes to: an answer, or what it raised, or that JSON has no such answer."""
    turn = message.pop("turn")
    try:
        return packed({"turn": turn, "answer": work(**message)})
    except StrettoError as error:
        return packed({"turn": turn, "error": error_json(error), "spent": _spent(error)})
    except BaseException as error:  # noqa: BLE001 - a plugin's code may do anything
        with suppress(Exception):  # it may have closed its output
            traceback.print_exc()
            sys.stderr.flush()
        return packed({"turn": turn, "raised": _words(error), "spent": _spent(error)})


def _words(error: BaseException) -> str:
    """Give an exception in a line that can be written anywhere."""
    words, name = "", type(error).__name__
    with suppress(Exception):  # which may raise in turn
        words = " ".join(str(error)[:_MOST_WORDS].split()).encode(errors="backslashreplace").decode()
    return f"{name}: {words}" if words else name


def _spent(error: BaseException | None) -> bool:
    """Say whether an error, or one that it came from, tells of files, threads or memory that are gone."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _SPENT):
            return True
        if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Inner:
    """The host's part of build_plan: what the inner hooks planned over there, None where the plugin is asked first."""

    plan: Plan | None = None

    @hookimpl(trylast=True)
    def build_plan(self) -> Plan | None:
        """Give it."""
        return self.plan


class Servant:
    """What the plugin's process does for the host: one method `do_X` for each call X."""

    def __init__(self, boot: Mapping[str, Any], memory: int) -> None:
        self._boot = boot
        self._memory = memory
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(HostSpecs)
        self._inner = _Inner()
        self._opened: OrderedDict[str, Any] = OrderedDict()
        self._pieces: OrderedDict[int, Iterator[tuple[Image, tuple[int, int]]]] = OrderedDict()
        self._specs: dict[str, dict[str, Any]] = {}
        self.stopped = False
        root = Path(boot["root"])
        engines = Path(boot["engines"]) if boot["engines"] else None
        settings = read_as(Settings, boot["settings"], "settings")
        view = IsolatedView(boot["name"], boot["version"], settings, Folders(root, engines))
        self._view = view.with_table(boot["table"], boot["source"])

    def load(self) -> None:
        """Import the plugin and take its offers; what goes wrong is raised."""
        entry = EntryPoint(name=self._boot["name"], value=self._boot["entry"], group=PROJECT)
        loaded = entry.load()
        self._plugin = loaded() if inspect.isclass(loaded) else loaded
        self._manager.register(self._inner, "host")
        self._manager.register(self._plugin, self._boot["name"])
        hooks = self._hooks()
        for kind in IMAGE_KINDS.values():
            if kind.hook in hooks:
                answers = getattr(self._manager.hook, kind.hook)(host=self._view)
                offered = [spec for answer in answers for spec in kind.checked(answer)]
                self._specs[kind.name] = {spec.name: spec for spec in offered}
        if self._boot["serving"]:
            self._manager.hook.host_started(host=self._view)

    def do_describe(self) -> dict[str, Any]:
        """Say what the plugin has, as data."""
        says: dict[str, Any] = {
            "hooks": self._hooks(),
            "offers": {
                name: [IMAGE_KINDS[name].said(spec) for spec in specs.values()]
                for name, specs in self._specs.items()
            },
            "api": getattr(self._plugin, DECLARATION, None),
        }
        fault = declaration_fault(self._plugin)
        if fault is not None:
            return {**says, "fault": fault}
        tables = {"Settings": self._boot["table"], "Parameters": {}}
        return {**says, **{word: self._declared(word).said(table) for word, table in tables.items()}}

    def do_construct(self, word: str, number: int, values: Mapping[str, Any]) -> dict[str, Any]:
        """Have a dataclass that checks its values made; says what it has then, or why it cannot be so."""
        return self._declared(word).constructed(number, values)

    def do_imported(self) -> dict[str, Any]:
        """Name the modules that there are by now, and the file of the plugin's own."""
        module = sys.modules.get(self._boot["entry"].partition(":")[0].strip())
        return {"modules": sorted(sys.modules), "file": getattr(module, "__file__", None) or ""}

    def do_built_once(self, **key: Any) -> bool:
        """Say whether building twice gives one object."""
        return self._built(**key) is self._built(**key)

    def do_missing(self, kind: str, name: str) -> str | None:
        """Say why an offer cannot work here."""
        why = self._specs[kind][name].missing()
        return None if why is None else str(why)

    def do_open(self, **key: Any) -> dict[str, Any]:
        """Build what an offer builds; says whether it works piece by piece."""
        return {"pieces": callable(getattr(self._at(key), "pieces", None))}

    def do_upscale(self, key: Mapping[str, Any], image: Mapping[str, Any], amount: int) -> dict[str, Any]:
        """Enlarge a picture."""
        return self._put(self._at(key).upscale(self._given(image), amount))

    def do_processed(self, key: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
        """Make a control image."""
        return self._put(self._at(key).processed(self._given(image)))

    def do_remove(self, key: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
        """Remove a background."""
        return self._put(self._at(key).remove(self._given(image)))

    def do_pieces(
        self, key: Mapping[str, Any], image: Mapping[str, Any], amount: int, run: int
    ) -> dict[str, Any] | None:
        """Begin to enlarge a picture piece by piece, and give the first piece."""
        self._pieces[run] = iter(self._at(key).pieces(self._given(image), amount))
        while len(self._pieces) > _AT_ONCE:  # those of jobs that were stopped
            self._pieces.popitem(last=False)
        return self.do_piece(run)

    def do_piece(self, run: int) -> dict[str, Any] | None:
        """Give the next piece with its left and top pixel, None when there is no more."""
        if run not in self._pieces:
            raise PluginError("its process was ended between two pieces of a picture")
        self._pieces.move_to_end(run)
        for piece, (left, top) in self._pieces[run]:
            return {"piece": self._put(piece), "at": [int(left), int(top)]}
        del self._pieces[run]
        return None

    def do_settings(self, settings: Mapping[str, Any]) -> None:
        """Take in the host's settings, which were changed."""
        self._view.settings = read_as(Settings, settings, "settings")

    def do_build_plan(self, request: Any, plan: Any) -> Any:
        """Ask for a plan, around the one that the inner hooks made, if there is one."""
        self._inner.plan = None if plan is None else read_as(Plan, plan, "plan")
        asked = read_as(InvocationRequest, request, "request")
        made = self._manager.hook.build_plan(request=asked, host=self._view)
        if made is not None and not isinstance(made, Plan):
            raise PluginError(f"build_plan gave {type(made).__name__}; it must give a Plan, or None to pass")
        return plain(made)

    def do_observe(self, event: Mapping[str, Any]) -> None:
        """Tell about an event."""
        self._manager.hook.observe(event=event_from(event))

    def do_stop(self) -> None:
        """Tell that the host stops, which ends this process."""
        self.stopped = True
        self._manager.hook.host_stopping(host=self._view)

    def _declared(self, word: str) -> Declared:
        return Declared(getattr(self._plugin, word, None), word)

    def _hooks(self) -> dict[str, dict[str, Any]]:
        """Name the hooks of the plugin with their options; raises PluginError for none, or one that there is not."""
        callers = self._manager.get_hookcallers(self._plugin) or []
        if not callers:
            raise PluginError("it has no hooks; decorate its functions with @stretto.host.hookimpl")
        self._manager.check_pending()
        found = {}
        for caller in callers:
            (impl,) = (one for one in caller.get_hookimpls() if one.plugin is self._plugin)
            found[caller.name] = {
                "wrapper": bool(impl.wrapper or impl.hookwrapper),
                "tryfirst": bool(impl.tryfirst),
                "trylast": bool(impl.trylast),
            }
        return found

    def _at(self, key: Mapping[str, Any]) -> Any:
        """Give what was built for `key`, or build it."""
        word = repr(sorted(key.items()))
        if word not in self._opened:
            self._opened[word] = self._built(**key)
            while len(self._opened) > _OPEN:
                self._opened.popitem(last=False)
        self._opened.move_to_end(word)
        return self._opened[word]

    def _built(self, kind: str, name: str, how: str, weights: Any, device: str) -> Any:
        build = getattr(self._specs[kind][name], how)
        files = read_as(tuple[WeightFile, ...], weights, "weights")
        match how, kind:
            case "build", _:
                return build(device)
            case "assemble", _:
                return build(files[0], files[1:], device)
            case _, "preprocessors":
                return build(files, device)
            case _:
                return build(files[0], device)

    def _given(self, image: Mapping[str, Any]) -> Image:
        return given(self._memory, image, "the host")

    def _put(self, image: Any) -> dict[str, Any]:
        from PIL.Image import Image

        if not isinstance(image, Image):
            raise PluginError(f"it gave {type(image).__name__}, and must give a picture")
        return put(self._memory, image)
