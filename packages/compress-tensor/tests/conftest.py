"""What tests of several instruction sets share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compress_tensor.native import library


@pytest.fixture
def best_isa() -> Iterator[None]:
    """Use again afterwards what was used before."""
    before = library.isa()
    yield
    library.limit_isa(before)


@pytest.fixture
def below_amx(best_isa: None) -> None:
    """Without AMX: it alone adds bfloat16 products in an order of its own."""
    if library.isa() == "amx":
        library.limit_isa("avx512bf16")
