r"""Prompt weights as people write them: `(word:1.2)`, `((word))`, `[word]`, `\(` for the sign itself.

Knows no tokens and no networks: a string in, weighted fragments out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Fragment", "fragments"]

STRONGER = 1.1  # what one pair of round brackets multiplies by; square ones divide
_MARK = re.compile(r"\\[()\[\]\\]|[()\[\]]|[^\\()\[\]]+|\\")
_NUMBER = re.compile(r":\s*(\d+(?:\.\d*)?|\.\d+)\s*$")


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a prompt and how much it counts; 1 is plain."""

    text: str
    weight: float = 1.0


@dataclass(slots=True)
class _Piece:
    text: str
    weight: float = 1.0
    literal: bool = False


def fragments(prompt: str) -> tuple[Fragment, ...]:
    """Read a prompt's weights; neighbours of equal weight are one fragment.

    A bracket without its partner is text. A prompt without brackets and backslashes comes back as
    it is, in one fragment of weight 1; an empty prompt gives one empty fragment.
    """
    pieces: list[_Piece] = []
    opened: list[int] = []
    for mark in _MARK.findall(prompt):
        if mark in ("(", "["):
            opened.append(len(pieces))
            pieces.append(_Piece(mark, literal=True))
        elif mark in (")", "]") and opened and pieces[opened[-1]].text == "(["[mark == "]"]:
            _close(pieces, opened.pop(), mark)
        elif len(mark) == 2 and mark[0] == "\\":  # noqa: PLR2004 - a backslash and what it guards
            pieces.append(_Piece(mark[1], literal=True))
        else:
            pieces.append(_Piece(mark))
    return _merged(pieces)


def _close(pieces: list[_Piece], start: int, mark: str) -> None:
    pieces[start].text = ""
    factor = STRONGER if mark == ")" else 1.0 / STRONGER
    last = pieces[-1]
    number = _NUMBER.search(last.text) if mark == ")" and not last.literal else None
    if number:
        factor = float(number.group(1))
        last.text = last.text[: number.start()]
    for piece in pieces[start:]:
        piece.weight *= factor


def _merged(pieces: list[_Piece]) -> tuple[Fragment, ...]:
    merged: list[Fragment] = []
    for piece in pieces:
        if not piece.text:
            continue
        weight = round(piece.weight, 6)
        if merged and merged[-1].weight == weight:
            merged[-1] = Fragment(merged[-1].text + piece.text, weight)
        else:
            merged.append(Fragment(piece.text, weight))
    return tuple(merged) or (Fragment(""),)
