"""The checks themselves are checked: with a safeguard switched off, its scenario goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.fault_points import SAFEGUARDS
from chaos.harness import ChaosHarness
from chaos.relocations import RELOCATIONS
from chaos.scenarios import SCENARIOS
from chaos.worker_pool import ForkServer


def test_every_safeguard_has_its_scenario() -> None:
    assert {*SCENARIOS, *RELOCATIONS} == set(SAFEGUARDS)


@pytest.mark.parametrize("safeguard", SCENARIOS)
async def test_a_scenario_is_right_with_its_safeguard(harness: ChaosHarness, safeguard: str) -> None:
    assert await SCENARIOS[safeguard](harness, "") == []


@pytest.mark.parametrize("safeguard", SCENARIOS)
async def test_a_scenario_goes_wrong_without_its_safeguard(harness: ChaosHarness, safeguard: str) -> None:
    assert await SCENARIOS[safeguard](harness, safeguard) != []


@pytest.mark.parametrize("switched", ["on", "off"])
@pytest.mark.parametrize("safeguard", RELOCATIONS)
async def test_a_relocation_goes_wrong_only_without_its_safeguard(
    fork_server: ForkServer, tmp_path: Path, safeguard: str, switched: str
) -> None:
    problems = await RELOCATIONS[safeguard](fork_server, tmp_path, safeguard if switched == "off" else "")
    assert bool(problems) == (switched == "off"), problems
