"""Python job systems that run plain functions, measured side by side: ``python -m bench.rivals``."""
