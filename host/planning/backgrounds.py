"""Which network removes backgrounds: the first offered one whose file is in the model folder."""

from __future__ import annotations

from collections.abc import Callable

from ..contracts.models import WeightKind
from ..contracts.plan import Remover
from ..contracts.protocols import HostView
from ..contracts.specs import BackgroundRemoverSpec
from ..errors import UnsupportedError
from .files import fetched_by, find_file

__all__ = ["pick_remover"]


def pick_remover(host: HostView, fault: Callable[[str, str], None]) -> Remover | None:
    """Find a remover; `fault` hears which file would do when there is none.

    Raises UnsupportedError where no plugin offers any.
    """
    folder = host.folders.model_folder(WeightKind.BACKGROUND.value)
    specs: list[BackgroundRemoverSpec] = list(host.offers("background_removers").values())
    if not specs:
        raise UnsupportedError(
            "remove_background: no plugin here removes backgrounds; turn the plugin 'backgrounds' on in plugins.toml"
        )
    for spec in specs:
        file = find_file(folder, spec.files, WeightKind.BACKGROUND)
        if file is not None:
            return Remover(method=spec.name, weights=file)
    files = ", ".join(name for spec in specs for name in spec.files)
    fault(
        "remove_background",
        f"needs a network's weights; put one of {files} into {folder}, for instance by: "
        f"{fetched_by(folder, specs[0].files[0], specs[0].source)}",
    )
    return None
