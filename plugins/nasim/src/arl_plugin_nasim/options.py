"""What a user may choose about NASim: `--nasim.fully-obs`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

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
    "exploit_cost",
    "privesc_probs",
    "privesc_cost",
    "service_scan_cost",
    "os_scan_cost",
    "subnet_scan_cost",
    "process_scan_cost",
    "base_host_value",
    "host_discovery_value",
    "alpha_h",
    "alpha_v",
    "lambda_v",
    "r_sensitive",
    "r_user",
    "random_goal",
    "uniform",
)

Probability = Annotated[float, Field(gt=0, le=1)]


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
    step_limit: int | None = Field(
        default=None, ge=1, description="steps after which an episode is truncated; default: the scenario's, or 1000"
    )
    scenario: str | None = Field(
        default=None, description="a network of your own, the path of a .yaml file in NASim's format (for the variant custom)"
    )
    scenario_seed: int | None = Field(default=None, ge=0, lt=2**32, description="seed of a generated network; default: 0")
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
    exploit_probs: Probability | list[Probability] | Literal["mixed"] | None = Field(
        default=None, description="success probability of generated exploits, or of each; mixed: 0.3, 0.6 or 0.9"
    )
    exploit_cost: float | None = Field(default=None, gt=0, description="what a generated exploit costs")
    privesc_probs: Probability | list[Probability] | None = Field(
        default=None, description="success probability of generated privilege escalations, or of each"
    )
    privesc_cost: float | None = Field(default=None, gt=0, description="what a generated privilege escalation costs")
    service_scan_cost: float | None = Field(default=None, ge=0, description="what a service scan costs, in generated networks")
    os_scan_cost: float | None = Field(default=None, ge=0, description="what an OS scan costs, in generated networks")
    subnet_scan_cost: float | None = Field(default=None, ge=0, description="what a subnet scan costs, in generated networks")
    process_scan_cost: float | None = Field(default=None, ge=0, description="what a process scan costs, in generated networks")
    base_host_value: float | None = Field(default=None, ge=0, description="value of generated hosts that are not sensitive")
    host_discovery_value: float | None = Field(default=None, ge=0, description="value of discovering a generated host")
    alpha_h: float | None = Field(default=None, gt=0, description="correlation of generated hosts' configurations (alpha_H)")
    alpha_v: float | None = Field(
        default=None, gt=0, description="correlation of generated hosts' services and processes (alpha_V)"
    )
    lambda_v: float | None = Field(default=None, gt=0, description="generated services on a host, on average (lambda_V)")
    r_sensitive: float | None = Field(default=None, gt=0, description="value of the host in a generated sensitive subnet")
    r_user: float | None = Field(default=None, gt=0, description="value of the sensitive host in a generated user subnet")
    random_goal: bool | None = Field(default=None, description="draw which host of the user subnets is the sensitive one")
    uniform: bool | None = Field(default=None, description="draw host configurations uniformly, not correlated")

    @field_validator("scenario", mode="before")
    @classmethod
    def _a_path(cls, value: Any) -> Any:
        return os.fspath(value) if isinstance(value, os.PathLike) else value

    @field_validator("scenario")
    @classmethod
    def _found_from_anywhere(cls, value: str | None) -> str | None:
        """Absolute, for evaluation and resumption from another folder; what is no file is told when it is read."""
        path = Path(value or "").expanduser()
        return str(path.resolve()) if path.is_file() else value
