r"""Checkpoints: the state of a training run in one file, written whole or not at all.

Layout: ``compress-checkpoint 1\\n``; the SHA-256 of the rest in hex and a newline; the length of
the header in 8 bytes, little-endian; the header (JSON: ``meta``, and name, dtype, shape of every
array); the arrays' bytes, one after another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compress_tensor import FileError, Graph
from compress_tensor.files import write_atomically
from compress_tensor.graph.graph import Array
from compress_tensor.graph.stored import unread

_MAGIC = b"compress-checkpoint "
VERSION = 1


def fingerprint(graph: Graph) -> str:
    """Return a digest of a graph's structure: nodes, attributes, types and shapes of constants."""
    digest = hashlib.sha256()
    for node in graph.nodes:
        digest.update(repr((node.domain, node.op, node.inputs, node.outputs)).encode())
        digest.update(repr(sorted((k, str(v)) for k, v in node.attributes.items())).encode())
    for name, array in unread(graph.constants).items():
        digest.update(repr((name, str(array.dtype), array.shape)).encode())
    return digest.hexdigest()


def save_checkpoint(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a checkpoint; an older one stays until the new one is on the disk.

    Raises:
        FileError: if it cannot be written (the older one is untouched).
    """
    held = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    table = [[name, array.dtype.str, list(array.shape)] for name, array in held.items()]
    header = json.dumps({"meta": meta, "arrays": table}).encode()
    parts = [len(header).to_bytes(8, "little"), header, *(a.tobytes() for a in held.values())]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    with write_atomically(path) as file:
        file.write(_MAGIC + f"{VERSION}\n{digest.hexdigest()}\n".encode())
        for part in parts:
            file.write(part)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return what `save_checkpoint` was given.

    Raises:
        FileError: if the file cannot be read, is damaged, or of another version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    first, _, rest = data.partition(b"\n")
    if not first.startswith(_MAGIC):
        raise FileError(f"{path} is no checkpoint of compress")
    version = first[len(_MAGIC) :].decode("ascii", "replace")
    if version != str(VERSION):
        raise FileError(
            f"{path} is a checkpoint of version {version}, this is version {VERSION}; "
            "go on with the version that wrote it"
        )
    digest, _, body = rest.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise FileError(f"{path} is damaged: its contents do not have the digest that it names")
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    arrays: dict[str, Array] = {}
    at = 8 + length
    for name, dtype, shape in header["arrays"]:
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, kind, count, at).reshape(shape)
        at += count * kind.itemsize
    return header["meta"], arrays
