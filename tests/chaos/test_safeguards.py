"""The checks themselves are checked: with a safeguard switched off, its scenario goes wrong."""

from __future__ import annotations

import pytest

from chaos.faults import SAFEGUARDS
from chaos.scenarios import SCENARIOS
from chaos.stage import Stage


@pytest.mark.parametrize("safeguard", SAFEGUARDS)
async def test_a_scenario_is_right_with_its_safeguard(stage: Stage, safeguard: str) -> None:
    assert await SCENARIOS[safeguard](stage, "") == []


@pytest.mark.parametrize("safeguard", SAFEGUARDS)
async def test_a_scenario_goes_wrong_without_its_safeguard(stage: Stage, safeguard: str) -> None:
    assert await SCENARIOS[safeguard](stage, safeguard) != []
