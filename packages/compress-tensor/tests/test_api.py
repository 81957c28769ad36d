"""The handshake of versions."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from compress_tensor import API_VERSION, require_api
from compress_tensor.api import api_version


@pytest.mark.parametrize(
    ("found", "needed", "fits"),
    [
        ((0, 1), (0, 1), True),
        ((0, 2), (0, 1), False),
        ((0, 1), (0, 2), False),
        ((1, 3), (1, 2), True),
        ((1, 1), (1, 2), False),
        ((2, 2), (1, 2), False),
    ],
)
def test_rule(
    monkeypatch: pytest.MonkeyPatch,
    found: tuple[int, int],
    needed: tuple[int, int],
    fits: bool,
) -> None:
    """The same MAJOR and at least this MINOR; below 1.0 exactly this MINOR."""
    monkeypatch.setitem(sys.modules, "compress_other", SimpleNamespace(API_VERSION=found))
    if fits:
        require_api("compress_other", needed)
        return
    with pytest.raises(ImportError, match=rf"{needed[0]}\.{needed[1]} is needed.*pip install"):
        require_api("compress_other", needed)


def test_version_is_the_package_s() -> None:
    """MAJOR.MINOR of the distribution is the version of the API."""
    import compress_tensor

    assert api_version("1.22.3") == (1, 22)
    assert api_version(compress_tensor.__version__) == API_VERSION
