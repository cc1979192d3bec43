from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stretto.host.testing import Supplies
from stretto.host.testing.conformance import check_offer_of


@pytest.fixture(scope="session")
def supplies() -> Iterator[Supplies]:
    with Supplies() as made:
        yield made


@pytest.fixture
def breaches(supplies: Supplies) -> Callable[..., dict[str, str]]:
    """Give a function that checks an offer: what it broke, each with its words."""

    def check(spec: Any, **options: Any) -> dict[str, str]:
        report = check_offer_of(spec, supplies=supplies, **options)
        return {row.check: row.detail for row in report.breaches}

    return check
