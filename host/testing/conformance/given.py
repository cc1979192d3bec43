"""The files that an author gives to a check in place of those that an offer would be used with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...catalog.probe import probe
from ...contracts.models import WeightFile, WeightKind
from ...contracts.specs import Spec
from .report import SkippedError

__all__ = ["Given", "broken_file", "weights_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What `assert_conforms` was given beside the offer: `files` by the names that the offer has for them."""

    files: Mapping[str, Path] = field(default_factory=dict)

    def first(self, spec: Spec, names: Sequence[str], kind: WeightKind) -> WeightFile:
        """Give the file that stands for one of `names`; raises SkippedError saying what is needed.

        Without names any one file does.
        """
        for name in names or tuple(self.files):
            if name in self.files:
                return weights_at(self.files[name], kind)
        wanted = " or ".join(names[:2]) if names else "a weight file"
        key = names[0] if names else "NAME"
        raise SkippedError(
            f"needs {wanted}; give files={{\"{key}\": a file, a tiny one will do}} for '{spec.name}'"
        )

    def every(self, spec: Spec, names: Sequence[str], kind: WeightKind) -> tuple[WeightFile, ...]:
        """Give a file for each of `names`; raises SkippedError naming those that are needed."""
        return tuple(self.first(spec, (name,), kind) for name in names)


def weights_at(path: Path, kind: WeightKind) -> WeightFile:
    """Say of a file what the host would: by what is in it where that tells, else that it is of `kind`."""
    if kind in (WeightKind.UPSCALER, WeightKind.BACKGROUND, WeightKind.PREPROCESSOR):
        return WeightFile(path=str(path), kind=kind, name=path.stem, size_bytes=path.stat().st_size)
    return probe(path)


def broken_file(folder: Path, kind: WeightKind, name: str) -> WeightFile:
    """Write a file of the right name with nothing of use in it."""
    path = folder / "broken" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"these are no weights\n" * 8)
    return WeightFile(path=str(path), kind=kind, name=path.stem, size_bytes=path.stat().st_size)
