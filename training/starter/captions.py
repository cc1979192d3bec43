"""Writes captions of scenes: a small grammar with synonyms, dropped words and filler."""

import random
from dataclasses import dataclass
from typing import Final

from training.starter.world import Figure, Scene

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "gray": ("gray", "grey"),
    "purple": ("purple", "purple", "violet"),
    "cyan": ("cyan", "cyan", "turquoise"),
    "circle": ("circle", "circle", "disc", "dot"),
    "cross": ("cross", "cross", "plus sign"),
    "ring": ("ring", "ring", "hoop"),
    "diamond": ("diamond", "diamond", "rhombus"),
    "oval": ("oval", "oval", "ellipse"),
    "cat": ("cat", "cat", "cat", "kitten"),
    "dog": ("dog", "dog", "dog", "puppy"),
    "rabbit": ("rabbit", "rabbit", "bunny"),
    "flower": ("flower", "flower", "sunflower"),
    "boat": ("boat", "boat", "sailboat", "ship"),
    "ball": ("ball", "ball", "football", "soccer ball"),
    "fire": ("fire", "fire", "flame"),
    "house": ("house", "house", "home"),
    "clock": ("clock", "clock", "alarm clock"),
    "car": ("car", "car", "automobile"),
    "small": ("small", "small", "tiny", "little"),
    "large": ("large", "large", "big", "huge"),
}
PLURAL: Final = frozenset({"cherries"})
UNIQUE: Final = frozenset({"sun", "moon"})

PLACE_PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "left": ("on the left", "on the left", "on the left side", "at the left"),
    "right": ("on the right", "on the right", "on the right side", "at the right"),
    "top": ("at the top", "at the top", "on the top"),
    "bottom": ("at the bottom", "at the bottom", "on the bottom"),
    "top left": ("in the top left", "in the top left corner", "in the upper left corner"),
    "top right": ("in the top right", "in the top right corner", "in the upper right corner"),
    "bottom left": ("in the bottom left", "in the bottom left corner", "in the lower left corner"),
    "bottom right": ("in the bottom right", "in the bottom right corner", "in the lower right corner"),
    "centre": ("in the center", "in the centre", "in the middle"),
}

# {a} and {b} are the first and the second figure.
RELATION_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "left of": (
        "{a} left of {b}",
        "{a} to the left of {b}",
        "{a} on the left and {b} on the right",
        "{a} on the left side of {b}",
        "{a} is left of {b}",
    ),
    "right of": (
        "{a} right of {b}",
        "{a} to the right of {b}",
        "{a} on the right and {b} on the left",
        "{a} on the right side of {b}",
        "{a} is right of {b}",
    ),
    "above": (
        "{a} above {b}",
        "{a} above {b}",
        "{a} over {b}",
        "{a} on top of {b}",
        "{a} at the top and {b} at the bottom",
    ),
    "below": (
        "{a} below {b}",
        "{a} below {b}",
        "{a} under {b}",
        "{a} beneath {b}",
        "{a} at the bottom and {b} at the top",
    ),
    "and": (
        "{a} and {b}",
        "{a} and {b}",
        "{a} and {b}",
        "{a} next to {b}",
        "{a} with {b}",
        "{a} beside {b}",
        "{a} and {b} side by side",
    ),
}

GROUND_FORMS: Final = (
    "on {a} {g} background",
    "on {a} {g} background",
    "on {a} {g} background",
    "on {g} background",
    "on {g}",
    ", {g} background",
    "with {a} {g} background",
    "against {a} {g} backdrop",
    "in front of {a} {g} background",
)
OPENINGS: Final = (
    "a picture of ",
    "a photo of ",
    "an image of ",
    "a drawing of ",
    "picture of ",
    "there is ",
    "an icon of ",
)
MANNERS: Final = (
    "cute",
    "happy",
    "happy-looking",
    "beautiful",
    "old",
    "nice",
    "fluffy",
    "young",
    "bright",
    "simple",
)
DOINGS: Final = (
    "sleeping peacefully on a rug",
    "sleeping peacefully",
    "on a rug",
    "in a garden",
    "at night",
    "in the style of picasso",
    "lorem ipsum",
    "sitting on a bench",
    "looking at the camera",
    "in the wild",
)
TAGS: Final = (
    "high quality",
    "highly detailed",
    "sharp focus",
    "simple",
    "8k",
    "4k",
    "clean",
    "flat",
    "minimal",
    "vector art",
    "beautiful",
    "masterpiece",
    "best quality",
    "RAW photo",
    "professional",
    "colorful",
    "digital art",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """The words, and which of the scene's facts they tell."""

    text: str
    ground: bool
    colours: tuple[bool, ...]
    place: bool


def write_caption(scene: Scene, rng: random.Random, *, complete: bool = False) -> Caption:
    """A caption of the scene; `complete` tells every fact, otherwise some are left out, as people do."""
    articles = complete or rng.random() < 0.75
    colours = tuple(complete or rng.random() > 0.07 for _ in scene.figures)
    tells_ground = complete or rng.random() > 0.18
    tells_place = scene.place is not None and (complete or rng.random() > 0.06)
    names = [
        _name(figure, scene.size if len(scene.figures) == 1 else None, rng, colour=colour, article=articles)
        for figure, colour in zip(scene.figures, colours, strict=True)
    ]
    if scene.relation is None:
        head, exact = _single(scene, names[0], rng, tells_place=tells_place, complete=complete)
    else:
        head, exact = rng.choice(RELATION_FORMS[scene.relation]).format(a=names[0], b=names[1]), True
    ground = _ground(scene.ground, rng, after_place=head.endswith(("left", "right"))) if tells_ground else ""
    doing = f" {rng.choice(DOINGS)}" if rng.random() < 0.10 else ""
    separator = "" if ground.startswith(",") or not ground else " "
    text = f"{head}{doing}{separator}{ground}"
    return Caption(
        text=_decorate(text, rng),
        ground=tells_ground,
        colours=colours,
        place=exact and (tells_place or not scene.place),
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _say(word: str, rng: random.Random) -> str:
    return rng.choice(SYNONYMS.get(word, (word,)))


def _name(figure: Figure, size: str | None, rng: random.Random, *, colour: bool, article: bool) -> str:
    words = [_say(figure.kind, rng)]
    if figure.colour and colour:
        words.insert(0, _say(figure.colour, rng))
    if size:
        words.insert(0, _say(size, rng))
    if rng.random() < 0.05:
        words.insert(0, rng.choice(MANNERS))
    phrase = " ".join(words)
    if not article or figure.kind in PLURAL:
        return phrase
    if figure.kind in UNIQUE and rng.random() < 0.5:
        return f"the {phrase}"
    return f"{_article(phrase)} {phrase}"


def _single(
    scene: Scene, name: str, rng: random.Random, *, tells_place: bool, complete: bool
) -> tuple[str, bool]:
    """The figure with its place, and whether the place is exact."""
    if not tells_place or scene.place is None:
        return name, True
    if " " in scene.place and not complete and rng.random() < 0.12:
        return f"{name} in {rng.choice(('the', 'a'))} corner", False
    return f"{name} {rng.choice(PLACE_PHRASES[scene.place])}", True


def _ground(ground: str, rng: random.Random, *, after_place: bool) -> str:
    colour = _say(ground, rng)
    if after_place and rng.random() < 0.25:
        return f"of {_article(colour)} {colour} background"
    return rng.choice(GROUND_FORMS).format(a=_article(colour), g=colour)


def _decorate(text: str, rng: random.Random) -> str:
    if rng.random() < 0.12:
        text = rng.choice(OPENINGS) + text
    if rng.random() < 0.14:
        text = ", ".join((text, *rng.sample(TAGS, rng.randint(1, 3))))
    draw = rng.random()
    if draw < 0.05:
        return text.upper()
    return text[0].upper() + text[1:] if draw < 0.25 else text
