"""Settings in the database: read at start, changed by `POST /api/settings`."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from pony.orm import db_session
from stretto.host.errors import ConfigurationError, Fault
from stretto.host.settings import Settings

from .entities import Records
from .fields import checked, refuse, shown
from .tokens import revoke_all

__all__ = ["SettingsStore"]

_log = logging.getLogger(__name__)

NAMES = tuple(field.name for field in fields(Settings))
# An empty or false value of these means null, as the contract's clients send it.
NULLABLE = ("switch_mode", "cache_mode", "precision")
PRECISIONS = {"half": "float16", "full": "float32", "float": "float32"}


class SettingsStore:
    """Keeps the settings that were ever changed; safe to call from any thread."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._lock = threading.Lock()

    def load(self) -> Settings:
        """Give the stored settings over the defaults; ConfigurationError for a value that no longer fits."""
        with db_session:
            rows = {row.name: row.value for row in self._records.setting.select()[:]}
        values = {name: json.loads(rows[name]) for name in NAMES if name in rows}
        settings, faults = checked(Settings, values)
        if settings is None:
            raise ConfigurationError(
                f"stored settings do not fit: {'; '.join(str(fault) for fault in faults)}. "
                "Delete their rows from the table setting of the database."
            )
        return settings

    def change(
        self,
        payload: Mapping[str, object],
        use: Callable[[Settings], None] = lambda _settings: None,
        misfits: Callable[[Mapping[str, object]], Iterable[Fault]] = lambda _given: (),
    ) -> Settings:
        """Check and keep any subset of the settings, hand all of them to `use`, and give them.

        `misfits` gets those that were given and says what is wrong with them beyond type and range.
        Another `auth` revokes every token. Unknown keys are logged. Raises InvalidRequestError with every fault.
        """
        unknown = [key for key in payload if key not in NAMES]
        if unknown:
            _log.info("settings that are not known here are ignored: %s", shown(", ".join(unknown)))
        given = {name: _normal(name, payload[name]) for name in NAMES if name in payload}
        asked, faults = checked(Settings, given)
        refuse(Settings, [*faults, *misfits(given)])
        with self._lock:  # or of two changes at once, the one in use might not be the one kept
            before = self.load()
            self._keep({name: getattr(asked, name) for name in given})
            settings = self.load()
            if settings.auth != before.auth:
                revoke_all(self._records)
            use(settings)
        return settings

    def _keep(self, changes: Mapping[str, Any]) -> None:
        entity = self._records.setting
        with db_session(immediate=True):
            for name, value in changes.items():
                row, text = entity.get_for_update(name=name), json.dumps(value)
                if row is None:
                    entity(name=name, value=text)
                else:
                    row.value = text


def _normal(name: str, value: object) -> object:
    if name in NULLABLE and not value:
        return None
    return PRECISIONS.get(value, value) if name == "precision" and isinstance(value, str) else value
