"""The code of a plugin that misbehaves in every way."""

from __future__ import annotations

__all__ = ["ROUGH"]

# A plugin that does whatever it is told by the name of its upscaler.
ROUGH = '''
import os, signal, sys, threading, time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, MaxLen
from stretto.host import (
    BackgroundRemoverSpec, InvalidRequestError, NotFoundError, PreprocessorSpec, UpscalerSpec, hookimpl,
)

REQUIRES_STRETTO_API = ">=1.0,<2"
HOARD = []
BUILT = []


@dataclass(frozen=True)
class Settings:
    """What it is told."""

    darkness: Annotated[float, Ge(0.0)] = 0.5
    diary: Path = Path("diary.txt")
    words: tuple[str, ...] = ("one", "two")
    mode: Literal["soft", "hard"] | None = None
    lingers: bool = False


@dataclass(frozen=True)
class Inner:
    depth: Annotated[int, Ge(1)] = 1
    top: int = 9

    def __post_init__(self):
        if self.depth > self.top:
            raise ValueError(f"depth {self.depth} is above top {self.top}")


@dataclass(frozen=True)
class Parameters:
    style: Annotated[str, MaxLen(20)] = "plain"
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()


class Upscaler:
    def __init__(self, name):
        self.name = name
        BUILT.append(name)

    def upscale(self, image, amount):
        picture = getattr(self, self.name)(image)
        if self.name in ("small", "grey", "wrong"):
            return picture
        picture = image if picture is None else picture
        return picture.convert(image.mode).resize((image.width * amount, image.height * amount))

    def same(self, image):
        return image

    def killed(self, image):
        os.kill(os.getpid(), signal.SIGKILL)

    def realtime(self, image):
        os.kill(os.getpid(), 35)

    def left(self, image):
        print("no more", flush=True)
        os._exit(3)

    def fault(self, image):
        import ctypes

        ctypes.string_at(0)

    def hangs(self, image):
        time.sleep(600)

    def leaks(self, image):
        while True:
            HOARD.append(b"x" * 2**22)

    def grows(self, image):
        HOARD.append(b"x" * 2**25)

    def later(self, image):
        threading.Thread(target=self.leaks, args=(image,), daemon=True).start()

    def raises(self, image):
        raise ValueError("no   such\\nthing")

    def leaves(self, image):
        sys.exit("enough")

    def refuses(self, image):
        raise NotFoundError("there is no such thing")

    def blames(self, image):
        from stretto.host.errors import Fault

        raise InvalidRequestError([Fault(field="upscale", message="is too much")])

    def wrong(self, image):
        return "a picture"

    def garbage(self, image):
        print("\\x00\\xff" * 50_000)
        os.write(1, bytes(range(256)))
        os.write(2, b'{"answer": "mine"}\\n')

    def babbles(self, image):
        import socket, struct

        pipe = next(int(fd) for fd in os.listdir("/proc/self/fd") if _is_socket(int(fd)))
        os.write(pipe, struct.pack("!Q", 5) + b"{not}")

    def small(self, image):
        return image.resize((1, 2))

    def grey(self, image):
        return image.convert("L")

    def forks(self, image):
        if os.fork() == 0:
            return image  # as if it were the plugin itself
        os.wait()

    def twice(self, image):
        import json, socket, struct

        body = json.dumps({"answer": None, "turn": 3}).encode()
        pipe = next(int(fd) for fd in os.listdir("/proc/self/fd") if _is_socket(int(fd)))
        os.write(pipe, struct.pack("!Q", len(body)) + body)

    def bloats(self, image):
        import struct

        pipe = next(int(fd) for fd in os.listdir("/proc/self/fd") if _is_socket(int(fd)))
        os.write(pipe, struct.pack("!Q", 2**25))

    def hangsup(self, image):
        os.close(next(int(fd) for fd in os.listdir("/proc/self/fd") if _is_socket(int(fd))))
        time.sleep(600)

    def mute(self, image):
        os.close(1)
        os.close(2)

    def forgets(self, image):
        os.close(next(int(fd) for fd in os.listdir("/proc/self/fd") if _is_memory(fd)))

    def unprintable(self, image):
        class Odd(Exception):
            def __str__(self):
                raise ValueError("no words")

        raise Odd

    def halved(self, image):
        raise ValueError("half \\ud800 " + "x" * 10**6)

    def panics(self, image):
        raise KeyboardInterrupt("no more")

    def opens(self, image):
        while True:
            HOARD.append(open("/dev/null"))

    def wraps(self, image):
        try:
            self.opens(image)
        except OSError as error:
            raise NotFoundError("no such weights") from error

    def prints(self, image):
        def more():
            while True:
                HOARD.append(b"x" * 2**22)
                print("growing", flush=True)
                time.sleep(0.02)

        threading.Thread(target=more, daemon=True).start()

    def overfills(self, image):
        memory = next(int(fd) for fd in os.listdir("/proc/self/fd") if _is_memory(fd))
        for at in range(0, 2**30, 2**22):
            os.pwrite(memory, b"x" * 2**22, at)

    def seen(self, image):
        from PIL import Image

        return Image.new("L", (1, 1), HOST.settings.max_queued_invocations)

    def escapes(self, image):
        import subprocess

        code = "import os, time; os.setsid(); time.sleep(600)"
        children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
        Path(self.diary()).write_text(" ".join(str(one.pid) for one in children))
        time.sleep(600)

    def spawns(self, image):
        import subprocess

        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(self.diary()).write_text(str(child.pid))
        time.sleep(600)

    def built(self, image):
        from PIL import Image

        return Image.new("L", (1, 1), len(BUILT))

    def darkness(self, image):
        from PIL import Image

        return Image.new("L", (1, 1), round(255 * TOLD.darkness))

    def diary(self):
        return TOLD.diary


class Tiling(Upscaler):
    def pieces(self, image, amount):
        for left in range(0, image.width, 8):
            piece = image.crop((left, 0, left + 8, image.height))
            yield piece.resize((8 * amount, image.height * amount), 0), (left * amount, 0)


class Inverting:
    def processed(self, image):
        from PIL import ImageOps

        return ImageOps.invert(image)


class Cutting:
    def remove(self, image):
        cut = image.convert("RGBA")
        cut.putalpha(7)
        return cut


class Weighing:
    def __init__(self, files):
        self.files = files

    def processed(self, image):
        from PIL import Image

        return Image.new("RGB", image.size, (len(Path(self.files[0].path).read_bytes()), len(self.files), 0))


def _is_socket(fd):
    import stat

    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def _is_memory(fd):
    try:
        return "stretto-picture" in os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return False


NAMES = [name for name in vars(Upscaler) if not name.startswith("_") and name not in ("upscale", "diary")]
TOLD = HOST = None


@hookimpl
def register_upscalers(host):
    global TOLD, HOST
    HOST = host
    TOLD = host.plugin_settings("rough", Settings)
    specs = [UpscalerSpec(name=name, build=lambda device, name=name: Upscaler(name)) for name in NAMES]
    absent = TOLD.diary.with_suffix(".absent")
    return [
        *specs,
        UpscalerSpec(name="tiles", aliases=("mosaic",), title="Piece by piece", build=lambda device: Tiling("same")),
        UpscalerSpec(name="absent", build=lambda device: None,
                     missing=lambda: f"{absent} is not there" if not absent.exists() else None),
    ]


@hookimpl
def register_preprocessors():
    return [
        PreprocessorSpec(name="inverting", open=lambda files, device: Inverting()),
        PreprocessorSpec(name="weighing", open=lambda files, device: Weighing(files),
                         files={"a.bin": "https://example.org/a.bin", "b.bin": ""}),
    ]


@hookimpl
def register_background_removers():
    return [BackgroundRemoverSpec(name="cutting", build=lambda device: Cutting())]


@hookimpl(wrapper=True)
def build_plan(request, host):
    plan = yield
    asked = host.plugin_parameters("rough", Parameters, request)
    style = asked.style
    if asked.inners:
        return plan.with_note(f"{asked.inner.depth}, {[type(one).__name__ for one in asked.inners]}")
    if style == "odd":
        return plan.with_note(1j)
    if style == "lost":
        host.resolve_model("starter")
    return replace(plan, prompt=f"{plan.prompt}, {style}").with_note(f"rough, in {os.getpid()}")


@hookimpl
def observe(event):
    if type(event).__name__ == "Failed":
        raise ValueError(f"cannot hear of {event.message}")
    with TOLD.diary.open("a") as diary:
        diary.write(f"{type(event).__name__} {event.job} {event.number}\\n")


@hookimpl
def host_stopping(host):
    while TOLD.lingers:
        time.sleep(1)
    with TOLD.diary.open("a") as diary:
        diary.write("stopped\\n")
'''
