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


@pytest.fixture(params=library.ISAS)
def level(request: pytest.FixtureRequest, best_isa: None) -> str:
    """Each instruction set up to the machine's own."""
    wanted: str = request.param
    if library.ISAS.index(wanted) > library.ISAS.index(library.isa()):
        pytest.skip(f"this processor has no {wanted}")
    library.limit_isa(wanted)
    return wanted
