"""How a drawn picture is refined by a second model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..geometry import round_up

__all__ = ["Refining", "refining_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refining:
    """Image-to-image over a finished picture; or, with `start`, over the latents at that share of the steps.

    The scores, 0 to 10, are what Stability's refiners are told about beauty; other models take none.
    """

    strength: float
    guidance_scale: float
    aesthetic_score: float
    negative_aesthetic_score: float
    start: float | None = None  # takes over there, and `strength` is not used

    @property
    def scores(self) -> tuple[float, float]:
        """Give the scores as prompts go: negative, positive."""
        return self.negative_aesthetic_score, self.aesthetic_score

    def steps(self, asked: int) -> int:
        """Say how many of `asked` steps are taken over a finished picture."""
        return min(int(asked * self.strength), asked)

    @staticmethod
    def enlarged(
        width: int, height: int, size_px: int, tile: tuple[bool, bool] = (False, False)
    ) -> tuple[int, int]:
        """Give the size to refine at, (width, height): the shorter side is no shorter than `size_px`.

        On the axes (x, y) of `tile`, where no border can be filled up, it is of whole latent cells.
        """
        short = min(width, height)
        if short >= size_px:
            return width, height
        wide, high = (width * size_px + short // 2) // short, (height * size_px + short // 2) // short
        return round_up(wide) if tile[0] else wide, round_up(high) if tile[1] else high


def refining_json(refining: Refining | None) -> dict[str, Any]:
    """Give the contract's keys of a node; null where nothing is refined."""
    return {
        "refiner_start": refining and refining.start,
        "refiner_strength": refining and refining.strength,
        "refiner_guidance_scale": refining and refining.guidance_scale,
        "refiner_aesthetic_score": refining and refining.aesthetic_score,
        "refiner_negative_aesthetic_score": refining and refining.negative_aesthetic_score,
    }
