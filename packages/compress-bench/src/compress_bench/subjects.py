"""What `compress-bench models` measures: networks of the zoo and files, in fp32, int8 and so on.

The fp32 file is written once; the int8 file is made of it by `compress_quant.quantize_static` and
is the same for every runtime; bf16, winograd and direct are the fp32 file, computed in another way.
Files are kept in a work folder under a name that changes with the code that makes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path

import numpy as np

import compress_quant
from compress_export import read_onnx, write_onnx
from compress_export.cost import cost_of
from compress_quant import Recipe, quantize_static
from compress_tensor import Graph, InputError

from .kinds import Kind
from .runtimes import Array
from .suite_models import example
from .zoo import NETWORKS, build, feeds_for, network

#: calibration batches of the int8 file, and samples in each
_BATCHES, _SAMPLES = 4, 2
_OTHER = 8  #: size of a free dimension that is not the batch, in files


@dataclass(frozen=True)
class Subject:
    """A network that is measured.

    Attributes:
        name: of the zoo, or of a file.
        file: the file, or None for a network of the zoo.
    """

    name: str
    file: Path | None = None

    def graph(self) -> Graph:
        """Return the fp32 network."""
        return build(self.name) if self.file is None else read_onnx(self.file)

    def feeds(self, graph: Graph, batch: int, seed: int = 1) -> dict[str, Array]:
        """Return inputs for ``batch`` samples."""
        if self.file is None:
            return feeds_for(graph, batch, seed, **dict(network(self.name).symbols))
        return example(graph.inputs, batch, _OTHER)

    def path(self, kind: Kind, work: Path) -> Path:
        """Return the file to run, made if it is not there.

        Raises:
            InputError: if it cannot be quantized.
        """
        if self.file is not None and kind is not Kind.INT8:
            return self.file
        form = "int8" if kind is Kind.INT8 else "fp32"
        stamp = hashlib.sha256(self.file.read_bytes()).hexdigest()[:8] if self.file else ""
        target = work / f"{self.name}-{form}-{_code_stamp()}{stamp}.onnx"
        if not target.is_file():
            work.mkdir(parents=True, exist_ok=True)
            if kind is Kind.INT8:
                graph = read_onnx(self.path(Kind.FP32, work))
                samples = [self.feeds(graph, _SAMPLES, 10 + n) for n in range(_BATCHES)]
                # Random weights, as in the zoo, are more sensitive than trained ones: with these
                # nothing goes back to floats for the sake of accuracy.
                least = -inf if self.file is None else Recipe().least_decibels
                recipe = Recipe(threads=2, least_decibels=least)
                quantized, _ = quantize_static(graph, samples, recipe)
                write_onnx(quantized, target)
            else:
                write_onnx(self.graph(), target)
        return target


@cache
def _code_stamp() -> str:
    """Return a hash of the code that decides what the files hold."""
    folders = (Path(__file__).parent / "zoo", Path(compress_quant.__file__).parent)
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(p for folder in folders for p in folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def subjects(words: Iterable[str]) -> list[Subject]:
    """Return what was named: ``zoo``, networks of it, or ONNX files.

    Raises:
        InputError: if something is neither.
    """
    found: list[Subject] = []
    for word in words:
        if word == "zoo":
            wanted = (n for n, entry in NETWORKS.items() if not entry.small and "large" not in n)
            found += [Subject(name) for name in wanted]
        elif word in NETWORKS:
            found.append(Subject(word))
        elif Path(word).is_file():
            found.append(Subject(Path(word).stem, Path(word)))
        else:
            raise InputError(f"{word!r} is neither a file nor in the zoo ({', '.join(NETWORKS)})")
    return list(dict.fromkeys(found))


def operations(graph: Graph, feeds: dict[str, Array]) -> int:
    """Return multiplications and additions of one run, those of products only."""
    return 2 * cost_of(graph, {name: array.shape for name, array in feeds.items()}).macs


def store_feeds(path: Path, feeds: dict[str, Array]) -> None:
    """Write inputs for another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **feeds)  # type: ignore[arg-type]


def load_feeds(path: Path) -> dict[str, Array]:
    """Read what `store_feeds` wrote."""
    with np.load(path) as found:
        return dict(found)


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the ONNX files of a folder of models, in order."""
    yield from sorted((folder / "models").glob("*.onnx"))
