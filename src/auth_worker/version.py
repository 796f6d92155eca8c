"""The version of this package, and of the wire identity it shows to operators."""

__version__ = "0.1.0"
