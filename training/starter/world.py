"""What the starter model's world holds: colours, shapes, things, places, relations and random scenes of them."""

import random
import zlib
from dataclasses import dataclass
from typing import Final

SIZE_PX: Final = 128

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (220, 30, 35),
    "green": (35, 160, 60),
    "blue": (35, 70, 225),
    "yellow": (245, 220, 45),
    "orange": (245, 130, 25),
    "purple": (130, 40, 170),
    "cyan": (50, 200, 220),
    "pink": (250, 150, 195),
    "white": (245, 245, 245),
    "black": (22, 22, 24),
    "gray": (135, 135, 138),
    "brown": (115, 70, 30),
}

SHAPES: Final = (
    "circle",
    "square",
    "triangle",
    "star",
    "heart",
    "cross",
    "ring",
    "diamond",
    "crescent",
    "arrow",
    "oval",
    "rectangle",
)

# One code point each, of Noto Color Emoji.
THINGS: Final[dict[str, int]] = {
    "cat": 0x1F431,
    "dog": 0x1F436,
    "rabbit": 0x1F430,
    "bear": 0x1F43B,
    "pig": 0x1F437,
    "frog": 0x1F438,
    "bird": 0x1F426,
    "fish": 0x1F41F,
    "butterfly": 0x1F98B,
    "turtle": 0x1F422,
    "elephant": 0x1F418,
    "penguin": 0x1F427,
    "duck": 0x1F986,
    "whale": 0x1F433,
    "octopus": 0x1F419,
    "crab": 0x1F980,
    "apple": 0x1F34E,
    "banana": 0x1F34C,
    "strawberry": 0x1F353,
    "cherries": 0x1F352,
    "carrot": 0x1F955,
    "pizza": 0x1F355,
    "mushroom": 0x1F344,
    "tree": 0x1F333,
    "flower": 0x1F33B,
    "cactus": 0x1F335,
    "sun": 0x1F31E,
    "moon": 0x1F319,
    "cloud": 0x2601,
    "fire": 0x1F525,
    "snowman": 0x26C4,
    "house": 0x1F3E0,
    "car": 0x1F697,
    "bus": 0x1F68C,
    "boat": 0x26F5,
    "rocket": 0x1F680,
    "ball": 0x26BD,
    "balloon": 0x1F388,
    "umbrella": 0x2602,
    "book": 0x1F4D5,
    "key": 0x1F511,
    "clock": 0x23F0,
    "crown": 0x1F451,
    "guitar": 0x1F3B8,
}

KINDS: Final = (*SHAPES, *THINGS)

PLACES: Final[dict[str, tuple[float, float]]] = {
    "left": (0.25, 0.5),
    "right": (0.75, 0.5),
    "top": (0.5, 0.25),
    "bottom": (0.5, 0.75),
    "top left": (0.27, 0.27),
    "top right": (0.73, 0.27),
    "bottom left": (0.27, 0.73),
    "bottom right": (0.73, 0.73),
    "centre": (0.5, 0.5),
}

RELATIONS: Final = ("left of", "right of", "above", "below", "and")
SIZES: Final = ("small", "large")

# One in this many (colour, shape, ground) and (thing, ground, relation) combinations is never trained on.
HELD_OUT_ONE_IN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One shape or thing; lengths are fractions of the picture's side, y down. Only shapes have a colour."""

    kind: str
    colour: str | None
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One picture's content: one or two figures on a plain ground, and the words that describe their places."""

    ground: str
    figures: tuple[Figure, ...]
    place: str | None = None
    size: str | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """How often scenes have two figures, and figures are things."""

    two: float = 0.48
    thing: float = 0.56


def is_held_out(scene: Scene) -> bool:
    """Whether one of the scene's combinations is kept for evaluation."""
    return any(_key_held_out(figure, scene) for figure in scene.figures)


def _key_held_out(figure: Figure, scene: Scene) -> bool:
    tail = scene.relation or "alone"
    key = (
        f"{figure.colour}/{figure.kind}/{scene.ground}"
        if figure.colour
        else f"{figure.kind}/{scene.ground}/{tail}"
    )
    return zlib.crc32(key.encode()) % HELD_OUT_ONE_IN == 0


def sample_scene(rng: random.Random, mixture: Mixture, clashes: frozenset[tuple[str, str]]) -> Scene:
    """A random scene; `clashes` holds the (thing, ground) pairs that cannot be told apart."""
    ground = rng.choice(tuple(COLOURS))
    if rng.random() < mixture.two:
        return _sample_pair(rng, ground, mixture, clashes)
    return _sample_single(rng, ground, mixture, clashes)


def sample_training_scene(rng: random.Random, mixture: Mixture, clashes: frozenset[tuple[str, str]]) -> Scene:
    """A random scene none of whose combinations is held out."""
    while True:
        scene = sample_scene(rng, mixture, clashes)
        if not is_held_out(scene):
            return scene


def _pick_kind(
    rng: random.Random,
    ground: str,
    mixture: Mixture,
    clashes: frozenset[tuple[str, str]],
    taken: tuple[Figure, ...],
) -> tuple[str, str | None]:
    """A kind and, for a shape, a colour that differs from the ground's and from the other figure's."""
    kinds = {figure.kind for figure in taken}
    if rng.random() < mixture.thing:
        return rng.choice([k for k in THINGS if (k, ground) not in clashes and k not in kinds]), None
    used = {ground, *(figure.colour for figure in taken)}
    return rng.choice(SHAPES), rng.choice([c for c in COLOURS if c not in used])


def _sample_single(
    rng: random.Random, ground: str, mixture: Mixture, clashes: frozenset[tuple[str, str]]
) -> Scene:
    kind, colour = _pick_kind(rng, ground, mixture, clashes, ())
    size = rng.choice((None, None, None, *SIZES))
    place = rng.choice(tuple(PLACES)) if rng.random() < 0.55 else None
    if size == "large":
        place = "centre" if place == "centre" else None
    grow = 0.02 if colour is None else 0.0  # things have more detail than shapes
    low, high = {"small": (0.12, 0.16), "large": (0.33, 0.40), None: (0.21, 0.27)}[size]
    radius = rng.uniform(low + grow, min(high + grow, 0.40))
    if size is None and place not in {None, "centre"}:
        radius = min(radius, 0.25)
    x, y = PLACES[place] if place else (0.5, 0.5)
    drift = 0.02 if place or size == "large" else 0.06
    figure = Figure(
        kind=kind,
        colour=colour,
        x=x + rng.uniform(-drift, drift),
        y=y + rng.uniform(-drift, drift),
        radius=radius,
    )
    return Scene(ground=ground, figures=(figure,), place=place, size=size)


def _sample_pair(
    rng: random.Random, ground: str, mixture: Mixture, clashes: frozenset[tuple[str, str]]
) -> Scene:
    relation = rng.choice(RELATIONS)
    # "and" without a place reads left to right, as people write it.
    across = relation in {"left of", "right of", "and"}
    swapped = relation in {"right of", "below"}
    figures: tuple[Figure, ...] = ()
    for first in (True, False):
        kind, colour = _pick_kind(rng, ground, mixture, clashes, figures)
        main = (0.27 if first != swapped else 0.73) + rng.uniform(-0.02, 0.02)
        side = 0.5 + rng.uniform(-0.04, 0.04)
        x, y = (main, side) if across else (side, main)
        radius = rng.uniform(0.16, 0.20) if colour else rng.uniform(0.18, 0.215)
        figures = (*figures, Figure(kind=kind, colour=colour, x=x, y=y, radius=radius))
    return Scene(ground=ground, figures=figures, relation=relation)
