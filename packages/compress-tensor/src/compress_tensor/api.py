"""Versioned APIs between the packages: which version this is, and which another needs."""

from __future__ import annotations

from importlib import import_module

from ._version import __version__

Version = tuple[int, int]


def api_version(version: str) -> Version:
    """Return MAJOR.MINOR of a version."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


API_VERSION = api_version(__version__)


def require_api(package: str, needed: Version) -> None:
    """Refuse to go on with a package whose API is too old or too new.

    The same MAJOR is needed and at least this MINOR; below 1.0, exactly this MINOR.

    Args:
        package: import name, as in ``compress_tensor``.
        needed: MAJOR, MINOR that the caller was written for.

    Raises:
        ImportError: naming both versions and the remedy.
    """
    found: Version = import_module(package).API_VERSION
    fits = found[0] == needed[0] and (found[1] >= needed[1] if needed[0] else found[1] == needed[1])
    if not fits:
        name = package.replace("_", "-")
        raise ImportError(
            f"{package} {needed[0]}.{needed[1]} is needed, but {found[0]}.{found[1]} is "
            f"installed; run: pip install '{name}~={needed[0]}.{needed[1]}.0'"
        )
