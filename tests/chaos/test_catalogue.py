"""Every failure of the catalogue and every invariant has its test, and the tests that are named exist."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from chaos.catalogue import CATALOGUE, INVARIANTS

TESTS = Path(__file__).resolve().parents[1]


@functools.cache
def names_in(path: Path) -> set[str]:
    """The names of the functions in a file."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, functions)}


def test_the_catalogue_has_every_number() -> None:
    assert list(CATALOGUE) == [f"F{number:02}" for number in range(1, 41)]


@pytest.mark.parametrize("number", CATALOGUE)
def test_a_failure_has_tests_that_exist_or_a_reason(number: str) -> None:
    failure = CATALOGUE[number]
    assert failure.tests or failure.left_out
    for named in failure.tests:
        file, _, name = named.partition("::")
        assert name in names_in(TESTS / file), named


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_an_invariant_has_a_test_of_its_name(invariant: str) -> None:
    names = {name for path in TESTS.rglob("test_*.py") for name in names_in(path)}
    assert [name for name in names if name.startswith(f"test_{invariant}")]
