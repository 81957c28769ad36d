"""The version; MAJOR.MINOR is the version of the API."""

__version__ = "0.1.0"
