"""The bridge to libcompress_core: signatures, loading, and calling operators."""
