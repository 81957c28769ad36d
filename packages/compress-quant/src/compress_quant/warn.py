"""Static warnings: what a reader of the file may meet on other machines.

* Saturation: processors without VNNI add two products u8 x s8 in 16 bits (VPMADDUBSW).  Such a
  pair reaches at most 255 * 127 * 2 = 64770, but 16 bits hold 32767.  A product is safe if no two
  neighbouring weights along k can exceed that: 255 * (|w1| + |w2|) <= 32767.  Our engine widens
  first and never saturates; older kernels of others may.
* Speed: a network whose values go back and forth between codes and floats may run slower.
"""

from __future__ import annotations

import numpy as np

from .affine import Array
from .insert import Numbers
from .place import Placement
from .roles import Kind, Site
from .target import Target

_LARGEST = 32767


def warnings_for(placement: Placement, numbers: Numbers, target: Target) -> list[str]:
    """Return sentences about a quantized network."""
    found = []
    risky = [] if target is Target.TENSORRT else _saturating(placement, numbers)
    if risky:
        found.append(
            f"{len(risky)} layers (first: {risky[0]}) have pairs u8 x s8 that exceed 16 bits: "
            "runtimes that use VPMADDUBSW on processors without VNNI may saturate there; this "
            "engine does not"
        )
    products = [s for s in placement.sites.values() if s.kind is Kind.PRODUCT]
    pairs = len(placement.of)
    if pairs > 3 * len(products):
        found.append(
            f"{pairs} values get codes for {len(products)} products: the result may run slower "
            "than its original"
        )
    return found


def _saturating(placement: Placement, numbers: Numbers) -> list[str]:
    found = []
    for site in placement.sites.values():
        if site.weight is None or not site.reads:
            continue
        scale = placement.of.get(site.reads[0])
        if scale is None:
            continue
        params = numbers[scale]
        if params.grid.qmin < 0:
            continue
        made = numbers.weight(placement, site, integer_bias=True)
        if _largest_pair(site, made.codes) * params.grid.qmax > _LARGEST:
            found.append(site.node.label)
    return found


def _largest_pair(site: Site, codes: Array) -> int:
    """Return the largest |w1 + w2| of neighbours of one sign along k."""
    if site.axis is None or not codes.size:
        return 2 * int(np.abs(codes.astype(np.int32)).max(initial=0))
    rows = np.moveaxis(codes, site.axis, 0).reshape(codes.shape[site.axis], -1).astype(np.int32)
    if rows.shape[1] % 2:
        rows = np.pad(rows, ((0, 0), (0, 1)))
    positive = np.maximum(rows, 0)
    negative = np.maximum(-rows, 0)
    pairs = [half[:, ::2] + half[:, 1::2] for half in (positive, negative)]
    return int(max(pair.max(initial=0) for pair in pairs))
