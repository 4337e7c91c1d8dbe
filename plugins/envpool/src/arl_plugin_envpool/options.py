"""What a run may set: `--envpool.num-threads` and so on. Field descriptions are the help text."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class EnvPoolOptions(BaseModel):
    """Options of every id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_threads: int = Field(
        default=1, ge=1, description="threads that step one group; a rollout worker has worker_num_splits groups"
    )
    arguments: dict[str, Any] = Field(
        default={}, description="options of the id's own, as EnvPool has them: '{\"max_episode_steps\": 200}'"
    )
