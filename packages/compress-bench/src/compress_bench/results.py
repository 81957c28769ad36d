"""Results as they come: a JSON file that is whole at every moment, so that a run can go on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress_tensor import FileError
from compress_tensor.files import write_atomically

FORMAT = 1


class Results:
    """Cells by key, kept in a file.

    Args:
        path: the file; None keeps nothing.
        kind: what was measured, such as ``kernels``.
        machine: what must be the same for earlier cells to stay.
        fresh: forget earlier cells.
    """

    def __init__(
        self, path: Path | None, kind: str, machine: Mapping[str, str], *, fresh: bool = False
    ) -> None:
        self.path = path
        state = None if path is None or fresh or not path.is_file() else read_results(path)
        if state is None or state["machine"] != dict(machine) or state["kind"] != kind:
            state = {"format": FORMAT, "kind": kind, "machine": dict(machine), "cells": {}}
        self.state: dict[str, Any] = state

    @property
    def cells(self) -> dict[str, Any]:
        """What is measured so far."""
        found: dict[str, Any] = self.state["cells"]
        return found

    def keep(self, key: str, cell: Mapping[str, Any]) -> None:
        """Add a cell and write the file."""
        self.cells[key] = dict(cell)
        self.write()

    def text(self) -> str:
        """Return the whole as JSON, a line per cell."""
        head = {k: v for k, v in self.state.items() if k != "cells"}
        lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in self.cells.items()]
        return json.dumps(head)[:-1] + ', "cells": {\n' + ",\n".join(lines) + "\n}}\n"

    def write(self) -> None:
        """Write the file."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(self.path) as file:
                file.write(self.text().encode())


def read_results(path: Path) -> dict[str, Any]:
    """Return what a file of results holds.

    Raises:
        FileError: if it is not one.
    """
    try:
        found: Any = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path} is not a file of results: {error}") from error
    fields = {"format": int, "kind": str, "machine": dict, "cells": dict}
    if not isinstance(found, dict) or any(
        not isinstance(found.get(name), kind) for name, kind in fields.items()
    ):
        raise FileError(f"{path} is not a file of results of compress-bench")
    if found["format"] != FORMAT:
        raise FileError(f"{path} has format {found['format']}; this version reads {FORMAT}")
    return found
