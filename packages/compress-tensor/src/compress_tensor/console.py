"""How every command line of the project ends: a result, or one sentence and a status."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from .errors import CompressError

INTERRUPTED = 130  #: what shells expect after Ctrl-C
WRONG = 2  #: bad input, or bad usage


def run(main: Callable[[], object]) -> NoReturn:
    """Call ``main`` and leave the process with its status.

    * it returns: status 0, or the int that it returns;
    * CompressError: one line ``error: ...`` on standard error, status 2;
    * Ctrl-C: one line, status 130;
    * bad usage, as typer reports it with ``standalone_mode=False``: its own text, status 2;
    * whoever reads standard output has gone: status 1, in silence.

    Anything else is a defect and keeps its traceback.
    """
    try:
        result = main()
        sys.stdout.flush()
    except CompressError as error:
        _leave(f"error: {_one_line(error)}", WRONG)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)
    except MemoryError:
        _leave("error: there is not enough memory for this", WRONG)
    except BrokenPipeError:
        # Python flushes standard output once more at exit; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # how click and typer pass Ctrl-C on
            _leave("interrupted", INTERRUPTED)
        show, status = getattr(error, "show", None), getattr(error, "exit_code", None)
        if not callable(show) or not isinstance(status, int):
            raise
        show()
        sys.exit(status)
    if result == INTERRUPTED:  # how newer versions of typer do
        _leave("interrupted", INTERRUPTED)
    sys.exit(result if isinstance(result, int) else 0)


def _one_line(error: CompressError) -> str:
    return " ".join(str(error).split())


def _leave(text: str, status: int) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(status)
