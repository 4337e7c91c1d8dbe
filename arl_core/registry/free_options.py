"""Options of families whose constructors say themselves what they accept. A worker imports this: no pluggy here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ConstructorOptions(BaseModel):
    """Any keyword arguments; `registry.options.check_keywords` holds them against the constructor's signature."""

    model_config = ConfigDict(extra="allow")
