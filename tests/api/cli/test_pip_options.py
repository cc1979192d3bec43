from __future__ import annotations

import re

import pytest
from stretto.api.cli.pip_options import for_wheel, refuse_options
from stretto.host.errors import ConfigurationError


def test_what_pip_wheel_has_not_is_for_pip_install_alone() -> None:
    options = ["--user", "--no-index", "--find-links", "wheels", "-I", "--force-reinstall", "--pre"]
    refuse_options(options)
    assert for_wheel(options) == ["--no-index", "--find-links", "wheels", "--pre"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "--target=there",
            "pip's option --target is not taken here: the package must come into an environment",
        ),
        ("-tthere", "pip's option -t is not taken here"),
        ("-r", "pip's option -r is not taken here: one package is installed at a time"),
        (
            "--upgrade",
            "pip's option --upgrade is not taken here: it is an option of `stretto plugins install` itself",
        ),
    ],
)
def test_what_would_do_something_else_is_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        refuse_options(["--no-index", word])
