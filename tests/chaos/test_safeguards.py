"""The checks themselves are checked: with a safeguard switched off, its scenario goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.faults import SAFEGUARDS
from chaos.relocations import RELOCATIONS
from chaos.scenarios import SCENARIOS
from chaos.stage import Stage
from chaos.supervisor import Nursery


def test_every_safeguard_has_its_scenario() -> None:
    assert {*SCENARIOS, *RELOCATIONS} == set(SAFEGUARDS)


@pytest.mark.parametrize("safeguard", SCENARIOS)
async def test_a_scenario_is_right_with_its_safeguard(stage: Stage, safeguard: str) -> None:
    assert await SCENARIOS[safeguard](stage, "") == []


@pytest.mark.parametrize("safeguard", SCENARIOS)
async def test_a_scenario_goes_wrong_without_its_safeguard(stage: Stage, safeguard: str) -> None:
    assert await SCENARIOS[safeguard](stage, safeguard) != []


@pytest.mark.parametrize("switched", ["on", "off"])
@pytest.mark.parametrize("safeguard", RELOCATIONS)
async def test_a_relocation_goes_wrong_only_without_its_safeguard(
    nursery: Nursery, tmp_path: Path, safeguard: str, switched: str
) -> None:
    problems = await RELOCATIONS[safeguard](nursery, tmp_path, safeguard if switched == "off" else "")
    assert bool(problems) == (switched == "off"), problems
