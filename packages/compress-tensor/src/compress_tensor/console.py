"""How every command line of the project ends: a result, or one sentence and a status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from .errors import CompressError

WRONG = 2  #: bad input, bad usage, a full disk, Ctrl-C
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TYPER_INTERRUPTED = 130  # what newer versions of typer return after Ctrl-C
_INTERRUPTED = "interrupted: no file is left half-written; run the command again to have it done"


def run(main: Callable[[], object]) -> NoReturn:
    """Call ``main`` and leave the process with its status.

    * it returns: status 0, or the int that it returns;
    * CompressError: one line ``error: ...`` on standard error, status 2;
    * Ctrl-C: one line, status 2;
    * bad usage, as typer reports it with ``standalone_mode=False``: its own text, status 2;
    * whoever reads standard output has gone: status 1, in silence;
    * standard output cannot be written, as on a full disk: one line, status 2.

    Anything else is a defect and keeps its traceback.
    """
    try:
        result = main()
        sys.stdout.flush()
    except CompressError as error:
        _leave(f"error: {_one_line(error)}", WRONG)
    except KeyboardInterrupt:
        _leave(_INTERRUPTED, WRONG)
    except MemoryError:
        _leave("error: there is not enough memory for this", WRONG)
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # how click and typer pass Ctrl-C on
            _leave(_INTERRUPTED, WRONG)
        if isinstance(error, OSError) and error.errno in _FULL:
            _drop_output()
            text = f"error: standard output cannot be written: {error.strerror}; free some space"
            _leave(text, WRONG)
        show, status = getattr(error, "show", None), getattr(error, "exit_code", None)
        if not callable(show) or not isinstance(status, int):
            raise
        show()
        sys.exit(status)
    if result == _TYPER_INTERRUPTED:
        _leave(_INTERRUPTED, WRONG)
    sys.exit(result if isinstance(result, int) else 0)


def _one_line(error: CompressError) -> str:
    return " ".join(str(error).split())


def _drop_output() -> None:
    """Python flushes standard output once more at exit; that must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(text: str, status: int) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(status)
