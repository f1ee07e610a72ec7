"""huleedu takes a class of essays from registration to corrected results."""

__version__ = "0.1.0"
