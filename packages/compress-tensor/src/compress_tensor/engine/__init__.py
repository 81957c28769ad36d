"""From Graph to fast inference: plans per input shape, one call into libcore per run."""
