"""compress-autograd: automatic differentiation, training, and the data that it needs."""

from __future__ import annotations

from compress_tensor import require_api

require_api("compress_tensor", (0, 1))

from . import rules as _rules
from ._version import __version__
from .backward import grad, hessian_vector_product
from .function import Function
from .gradcheck import gradcheck
from .loss import cross_entropy, kl_divergence, mse
from .tape import connect, enable_grad, is_grad_enabled, no_grad
from .trainable import Trainable
from .trainer import Stop, Trainer

_LOADED = _rules  #: the package fills the table of rules when imported
connect()

__all__ = [
    "Function",
    "Stop",
    "Trainable",
    "Trainer",
    "__version__",
    "cross_entropy",
    "enable_grad",
    "grad",
    "gradcheck",
    "hessian_vector_product",
    "is_grad_enabled",
    "kl_divergence",
    "mse",
    "no_grad",
]
