"""Command lines end with a result, or one sentence and a status."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compress_tensor import InputError
from compress_tensor.console import run


def ends(main: Callable[[], object]) -> int:
    """Return the status that ``main`` leaves with."""
    with pytest.raises(SystemExit) as caught:
        run(main)
    return int(caught.value.code or 0)


def raising(error: BaseException) -> Callable[[], object]:
    """Return a function that raises."""

    def main() -> object:
        raise error

    return main


class UsageError(Exception):
    """As command-line libraries have it."""

    exit_code = 2

    def show(self) -> None:
        """Print what is wrong."""
        print("usage: ...")


@pytest.mark.parametrize(("result", "status"), [(None, 0), (0, 0), (1, 1), ("text", 0)])
def test_results(result: object, status: int) -> None:
    """An int is the status, all else is success."""
    assert status == ends(lambda: result)


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of ours is one line on standard error and status 2."""
    assert ends(raising(InputError("a\n  b"))) == 2
    assert capsys.readouterr().err == "error: a b\n"


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is one line and status 2, also when a library wraps it."""
    wrapped = RuntimeError("aborted")
    wrapped.__cause__ = KeyboardInterrupt()

    assert ends(raising(KeyboardInterrupt())) == 2
    assert ends(raising(wrapped)) == 2
    assert ends(lambda: 130) == 2
    assert capsys.readouterr().err.count("interrupted: no file is left half-written") == 3


def test_usage_errors_show_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    """Bad usage prints the library's own text."""
    assert ends(raising(UsageError())) == 2
    assert capsys.readouterr().out == "usage: ...\n"


def test_defects_keep_their_traceback() -> None:
    """What is not foreseen is not hidden."""
    with pytest.raises(ZeroDivisionError):
        run(raising(ZeroDivisionError()))
