"""Draws the gallery's pictures and those of the parameters' page with the starter model, and writes the gallery.

`python docs/gallery.py` draws all of it; with names after it (an entry's, a parameter's) only those.
"""  # noqa: INP001 - a script beside the pages, not a package

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gallery_entries import COMPANIONS, ENTRIES, Entry
from parameter_examples import EXAMPLES
from PIL import Image, ImageDraw, ImageFilter
from stretto.api.inbox import ImageInbox
from stretto.api.planned import plan_body
from stretto.host.contracts.plan import Plan
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

__all__ = ["Studio", "gallery_page", "studio"]

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
INPUTS = DOCS / "gallery" / "inputs"
STARTER = ROOT / "plugins" / "starter" / "companions"
GAP_PX = 4
PAGE_HEAD = """# Gallery

<!-- Written by docs/gallery.py; change docs/gallery_entries.py, then run `make gallery`. -->

Every picture here is the starter model's, drawn on a CPU from the requests below it by `make gallery`. Send one to
`POST /api/invoke`, or give its parts to `stretto invoke` with `--set`. Images are named by their paths in this
repository; over HTTP send them as data URIs. The companions are copied from `plugins/starter/companions` to the model
folders first, under these names: {names}.

What needs weights that do not ship is not shown: removing backgrounds, enlarging by networks, and ControlNets other
than `canny`.
"""


class Studio:
    """A host over the starter model and its companions, which plans and draws requests."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._inbox = ImageInbox(host.folders, host.settings, allowed_roots=None)

    def plan(self, request: dict[str, Any]) -> Plan:
        """Plan a request whose paths are the repository's; raises what a request is refused with."""
        before = Path.cwd()
        os.chdir(ROOT)
        try:
            return plan_body({"intermediates": False, **request}, self._inbox, self._host.plan)
        finally:
            os.chdir(before)

    def draw(self, request: dict[str, Any]) -> list[Image.Image]:
        """Draw a request's pictures."""
        finished = self._host.run_here(self.plan(request))
        return [Image.open(self._host.folders.images / name).convert("RGBA") for name in finished.images]


@contextmanager
def studio() -> Iterator[Studio]:
    """Open a host in a folder of its own, with the companions in place."""
    with tempfile.TemporaryDirectory() as place:
        folders = Folders(Path(place) / "data")
        folders.create()
        for name, file in COMPANIONS.items():
            shutil.copyfile(STARTER / file, folders.models / name)
        plugins = Path(place) / "plugins.toml"
        plugins.write_text("[host]\nautoload = false\n", encoding="utf-8")
        with Host.open(folders, Settings(), plugins_file=plugins) as host:
            yield Studio(host)


def gallery_page() -> str:
    """Give the gallery's text."""
    names = ", ".join(f"`{name}`" for name in COMPANIONS)
    parts = [PAGE_HEAD.format(names=names).rstrip("\n")]
    for entry in ENTRIES:
        requests = "\n".join(json.dumps(request, ensure_ascii=False) for request in entry.requests)
        parts += [f"## {entry.title}", entry.says, f"![{entry.title}]({entry.name}.webp)", *_blocks(requests)]
    return "\n\n".join(parts) + "\n"


def _blocks(requests: str) -> list[str]:
    return [f"```json\n{request}\n```" for request in requests.splitlines()]


def _strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay pictures beside each other on white."""
    width = sum(picture.width for picture in pictures) + GAP_PX * (len(pictures) - 1)
    strip = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        strip.paste(picture, (left, 0), picture)
        left += picture.width + GAP_PX
    return strip


def _saved(pictures: Sequence[Image.Image], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _strip(pictures).save(path, "WEBP", quality=88, method=6)
    sys.stdout.write(f"{path.relative_to(ROOT)}\n")


def _inputs(at: Studio) -> None:
    """Draw the pictures that requests start from."""
    INPUTS.mkdir(parents=True, exist_ok=True)
    red = {"prompt": "a red circle on a white background", "seed": 3, "num_inference_steps": 20}
    at.draw(red)[0].convert("RGB").save(INPUTS / "red.png")
    wide = {
        "prompt": "a cat to the left of a dog",
        "seed": 1,
        "num_inference_steps": 20,
        "width": 192,
        "height": 96,
    }
    at.draw(wide)[0].convert("RGB").save(INPUTS / "wide.png")
    hole = Image.new("L", (128, 128))
    hole.paste(255, (24, 24, 104, 104))
    hole.filter(ImageFilter.GaussianBlur(5)).save(INPUTS / "hole.png")
    half = Image.new("L", (128, 128))
    half.paste(255, (0, 0, 64, 128))
    half.save(INPUTS / "half.png")
    edges = Image.new("L", (128, 128))
    ImageDraw.Draw(edges).polygon(STAR, outline=255)
    edges.save(INPUTS / "edges.png")


STAR = [(64, 18), (75, 50), (110, 50), (82, 71), (92, 106), (64, 85), (36, 106), (46, 71), (18, 50), (53, 50)]


def _pictures(at: Studio, entry: Entry) -> list[Image.Image]:
    pictures = [picture for request in entry.requests for picture in at.draw(request)]
    if any(request.get("tile") for request in entry.requests):
        (first,) = pictures
        four = Image.new("RGBA", (first.width * 2, first.height * 2))
        for corner in ((0, 0), (first.width, 0), (0, first.height), first.size):
            four.paste(first, corner)
        pictures.append(four)
    return pictures


def main(only: Iterable[str]) -> None:
    """Draw what is named, or everything, and write the page."""
    wanted = set(only)
    with studio() as at:
        if not wanted:
            _inputs(at)
        for entry in ENTRIES:
            if not wanted or entry.name in wanted:
                _saved(_pictures(at, entry), DOCS / "gallery" / f"{entry.name}.webp")
        for name, example in EXAMPLES.items():
            if not wanted or name in wanted:
                drawn = [
                    picture
                    for change in example.changes
                    for picture in at.draw({**example.request, **change})
                ]
                _saved(drawn, DOCS / "images" / "parameters" / f"{name}.webp")
    (DOCS / "gallery" / "gallery.md").write_text(gallery_page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
