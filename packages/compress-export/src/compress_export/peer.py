"""onnxruntime as everything here is compared with: what it is told in each case."""

from __future__ import annotations

from typing import Any


def session_options(runtime: Any, threads: int) -> Any:
    """Return options for a session that computes exactly, and says nothing but what it raises.

    Args:
        runtime: the module ``onnxruntime``.
        threads: how many an operator may use.
    """
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Without VNNI its sums of two int8 products saturate, unless it is told to be exact.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options
