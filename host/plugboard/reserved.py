"""What plugins may not take: the first words of the host's own paths, and its own commands.

The words are kept whole, so that a path which the host adds below one of them takes none from a plugin.
Tests compare both with what `stretto.api` has.
"""

from __future__ import annotations

__all__ = ["OWN_COMMANDS", "OWN_WORDS"]

# the word after `/api/`
OWN_WORDS = frozenset({
    "announcements", "checkpoints", "civitai", "docs", "download", "installation", "inversion", "inversions",
    "invocation", "invocation-history", "invoke", "login", "logs", "lora", "lycoris", "model-options", "models",
    "openapi.json", "plan", "plugins", "problems", "settings", "tensorrt", "users",
})  # fmt: skip
OWN_COMMANDS = frozenset({
    "completion", "db", "doctor", "engines", "invoke", "models", "plugins", "serve", "settings", "users",
})  # fmt: skip
