"""What a user may choose about NASim: `--nasim.fully-obs`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

GENERATOR_OPTIONS = (
    "num_hosts",
    "num_services",
    "num_os",
    "num_processes",
    "num_exploits",
    "num_privescs",
    "restrictiveness",
    "exploit_probs",
    "r_sensitive",
    "r_user",
    "random_goal",
    "uniform",
)


class NASimOptions(BaseModel):
    """Options of every variant; None means the variant's own value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fully_obs: bool = Field(default=False, description="observe the whole network, not only what the last action showed")
    remember: bool = Field(
        default=True, description="with partial observations: keep in view what earlier actions of the episode showed"
    )
    flat_obs: bool = Field(default=True, description="observations as one vector; else a matrix, a row for each host")
    flat_actions: bool = Field(
        default=True, description="one number for each action and host; else type, subnet, host, os, service and process"
    )
    action_mask: bool = Field(
        default=True,
        description="allow only actions on hosts that the attacker has discovered, and from hosts that it has compromised",
    )
    step_limit: int | None = Field(default=None, ge=1, description="steps after which an episode is truncated")
    scenario: str | None = Field(
        default=None, description="a network of your own, the path of a .yaml file in NASim's format (for the variant custom)"
    )
    scenario_seed: int = Field(default=0, ge=0, lt=2**32, description="seed of a generated network")
    num_hosts: int | None = Field(default=None, ge=3, le=1000, description="hosts of a generated network")
    num_services: int | None = Field(default=None, ge=1, le=1000, description="services of a generated network")
    num_os: int | None = Field(default=None, ge=1, le=100, description="operating systems of a generated network")
    num_processes: int | None = Field(default=None, ge=1, le=100, description="processes of a generated network")
    num_exploits: int | None = Field(default=None, ge=1, le=1000, description="exploits; default: as many as services")
    num_privescs: int | None = Field(
        default=None, ge=1, le=100, description="privilege escalations; default, and most: as many as processes"
    )
    restrictiveness: int | None = Field(
        default=None, ge=1, description="services that a generated firewall lets through between two zones"
    )
    exploit_probs: Annotated[float, Field(gt=0, le=1)] | Literal["mixed"] | None = Field(
        default=None, description="success probability of generated exploits; mixed: 0.3, 0.6 or 0.9"
    )
    r_sensitive: float | None = Field(default=None, gt=0, description="value of the host in a generated sensitive subnet")
    r_user: float | None = Field(default=None, gt=0, description="value of the sensitive host in a generated user subnet")
    random_goal: bool | None = Field(default=None, description="draw which host of the user subnets is the sensitive one")
    uniform: bool | None = Field(default=None, description="draw host configurations uniformly, not correlated")

    @field_validator("scenario")
    @classmethod
    def _found_from_anywhere(cls, value: str | None) -> str | None:
        """Absolute, for evaluation and resumption from another folder; what is no file is told when it is read."""
        path = Path(value or "").expanduser()
        return str(path.resolve()) if path.is_file() else value
