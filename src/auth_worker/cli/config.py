"""``auth-worker config show``: the settings, and where each is set."""

from __future__ import annotations

import json
from typing import Any

from pydantic import SecretStr

from auth_worker.brokers.opening import BrokerSource
from auth_worker.cli.common_flags import AsJson, Wide
from auth_worker.cli.connection import print_json
from auth_worker.cli.console import text
from auth_worker.cli.listing import Column, Listing
from auth_worker.cli.settings_flags import Config, settings_from
from auth_worker.config import Settings
from auth_worker.core.alert_settings import AlertSettings

COLUMNS = (
    Column("SETTING"),
    Column("VALUE", least=12),
    Column("SET BY", 1, least=12),
    Column("WHAT IT IS", 2, least=20),
)
MASKED = "***"


def show_config(config: Config = None, *, wide: Wide = False, as_json: AsJson = False) -> None:
    """Show each setting, its value and where it is set: in a variable or the file. Secrets are masked.

    Example: [bold]auth-worker config show --wide[/]
    """
    settings = settings_from({"config": config})
    sources = Settings.sources()
    rows: list[dict[str, Any]] = [
        {
            "name": name,
            "value": _shown(settings, name),
            "source": sources.get(name, "default"),
            "description": field.description,
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        print_json(rows)
        return
    listing = Listing(*COLUMNS)
    for row in rows:
        listing.add(row["name"], text(_written(row["value"])), text(row["source"]), text(row["description"]))
    listing.show(wide=wide)


def _written(value: Any) -> str:
    """Return the value as it is written in a variable; ``-`` for None."""
    if isinstance(value, str):
        return value
    return "-" if value is None else f"{value:.15g}" if isinstance(value, float) else json.dumps(value)


def _shown(settings: Settings, name: str) -> Any:
    """Return the value for JSON, with secrets masked, also those within the broker's URL and the tokens."""
    value = getattr(settings, name)
    if name == "redis_url":
        return value and str(BrokerSource(None, settings).address)
    if name == "http_tokens":
        return {token: {"token": MASKED, "role": entry.role} for token, entry in value.items()}
    if isinstance(value, AlertSettings):
        shown = value.model_dump(mode="json", exclude_unset=True)
        secret = {key for key in shown if isinstance(getattr(value, key), SecretStr)}
        return {key: MASKED if key in secret else part for key, part in shown.items()} or None
    if isinstance(value, SecretStr):
        return MASKED
    return value if value is None or isinstance(value, bool | int | float) else str(value)
