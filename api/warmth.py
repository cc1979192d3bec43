"""What the first request would otherwise wait for: validators built, picture formats registered."""

from __future__ import annotations

import threading

__all__ = ["warm_up"]


def warm_up() -> threading.Thread:
    """Do it in a thread, at the server's leisure; some 0.2 s of one core."""
    thread = threading.Thread(target=_warm, name="warm-up", daemon=True)
    thread.start()
    return thread


def _warm() -> None:
    from PIL import Image
    from stretto.host.contracts.request import InvocationRequest
    from stretto.host.settings import Settings

    from .fields import checked

    checked(InvocationRequest, {})
    checked(Settings, {})
    Image.init()
