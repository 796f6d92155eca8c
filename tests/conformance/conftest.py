"""The Node process of the interop tests; without Node the tests are skipped, in CI they fail."""

from interop.conftest import node, node_process, queue

__all__ = ["node", "node_process", "queue"]
