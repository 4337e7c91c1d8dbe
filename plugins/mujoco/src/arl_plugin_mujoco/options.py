"""What a user may choose about a robot: `--mujoco.ctrl-cost-weight 0.05`, YAML `env_options`, keyword arguments."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class MujocoOptions(BaseModel):
    """Options of every variant; None means the variant's own value. Most are gymnasium's constructor arguments, by their
    names; one that a variant does not have is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_episode_steps: int | None = Field(default=None, ge=1, description="steps after which an episode is truncated")
    xml_file: str | None = Field(default=None, description="a model of your own, the path of an MJCF file (version 5)")
    frame_skip: int | None = Field(default=None, ge=1, description="simulation steps in a frame (version 5)")
    reset_noise_scale: float | None = Field(default=None, ge=0.0, description="size of the random change of the first state")
    forward_reward_weight: float | None = Field(default=None, description="reward for each metre per second forward")
    ctrl_cost_weight: float | None = Field(default=None, ge=0.0, description="cost of the squared actions")
    contact_cost_weight: float | None = Field(default=None, ge=0.0, description="cost of the squared contact forces")
    healthy_reward: float | None = Field(default=None, description="reward for each step upright")
    terminate_when_unhealthy: bool | None = Field(default=None, description="whether a fall ends the episode")
    exclude_current_positions_from_observation: bool | None = Field(
        default=None, description="observe no absolute position; false: observe it"
    )
    include_cfrc_ext_in_observation: bool | None = Field(
        default=None, description="observe the contact forces on each part (Ant-v5, Humanoid-v5, HumanoidStandup-v5)"
    )

    @field_validator("xml_file")
    @classmethod
    def _found_from_anywhere(cls, value: str | None) -> str | None:
        """Absolute, for evaluation and resumption from another folder; what is no file is told when it is read."""
        path = Path(value or "").expanduser()
        return str(path.resolve()) if path.is_file() else value
