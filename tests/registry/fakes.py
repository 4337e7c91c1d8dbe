"""Fake installed distributions in a folder on the path of a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import warm

CORRIDOR = """
import sys
import gymnasium
from pydantic import BaseModel, ConfigDict, Field
from typing import Literal
from arl_core.hookspecs import hookimpl
from arl_core.interfaces import EncoderSpec, EnvFamily, EnvSpec, WrapperRef, WrapperSpec

class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    view: Literal["near", "far"] = Field("near", description="how far one sees")
    slippery: bool = Field(False, description="whether steps may fail")
    doors: list[int] = Field(default_factory=list, description="where the doors are")
    width: int | None = Field(None, ge=1, description="cells across")

class Corridor(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 1, (3,))
    action_space = gymnasium.spaces.Discrete(2)
    def __init__(self, options, context, length):
        self.options, self.context, self.length = options, context, length
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random(3).astype("float32"), {}
    def step(self, action):
        return self.np_random.random(3).astype("float32"), 1.0, False, False, {}

def make(*, options, context, length):
    return Corridor(options, context, length)

def double(env, factor=2.0):
    return gymnasium.wrappers.TransformReward(env, lambda reward: factor * reward)

@hookimpl
def arl_environments():
    me = __name__
    return [EnvFamily(
        name="corridor", summary="walk to the end", default_variant="short", options=f"{me}:Options",
        variants=(
            EnvSpec("short", f"{me}:make", {"length": 8}, max_episode_steps=5),
            EnvSpec("long", f"{me}:make", {"length": 80}),
        ),
        aliases={"corridor-long-v0": "long"}, encoder="corridor/onehot", wrappers=(WrapperRef("corridor/double"),),
    )]

@hookimpl
def arl_param_overrides(env, algo):
    return {"gamma": 0.97, "rollout": 64} if env == "corridor:short" else None

@hookimpl
def arl_encoders():
    return [EncoderSpec("corridor/onehot", f"{__name__}:OneHot")]

@hookimpl
def arl_wrappers():
    return [WrapperSpec("corridor/double", f"{__name__}:double")]
"""


class Fakes:
    """Distributions to write into `folder`, and interpreters that see them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def dist(
        self,
        name: str,
        version: str = "1.0",
        plugins: dict[str, str] | None = None,
        prefixes: dict[str, str] | None = None,
        entry_points: str | None = None,
        requires: Sequence[str] = (),
    ) -> None:
        """Write a distribution's metadata."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        headers = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
        (info / "METADATA").write_text("\n".join(headers) + "\n\nName: this is the description\n")
        lines = ["[arl.plugins.v1]", *(f"{key} = {value}" for key, value in (plugins or {}).items())]
        lines += ["[arl.prefixes.v1]", *(f"{key} = {value}" for key, value in (prefixes or {}).items())]
        (info / "entry_points.txt").write_text(entry_points or "\n".join(lines) + "\n")

    def module(self, name: str, source: str) -> None:
        """Write a module."""
        (self.folder / f"{name}.py").write_text(textwrap.dedent(source))

    def corridor(self, dist: str = "arl-plugin-corridor", version: str = "0.3.1") -> None:
        """A complete plugin, family `corridor`."""
        module = dist.replace("-", "_")
        self.module(module, CORRIDOR)
        self.dist(dist, version, {"corridor": module}, {"corridor-": "corridor"})

    def run(self, *command: str, env: dict[str, str] | None = None, torch: bool = False) -> subprocess.CompletedProcess[str]:
        """Run an interpreter in the folder, which is on its path: a fresh one, or with `torch` one that has it imported."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ARL_")}
        path = os.pathsep.join([str(self.folder), str(Path(__file__).parents[2])])
        variables = {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **(env or {})}
        if torch:
            return warm.run([sys.executable, *command], env=variables, cwd=self.folder, timeout=60)
        return subprocess.run(
            [sys.executable, *command], env=variables, cwd=self.folder, capture_output=True, text=True, timeout=60
        )  # fmt: skip

    def python(self, code: str) -> Any:
        """Run code that defines `result`; returns it, by way of JSON."""
        script = f"import json\n{textwrap.dedent(code)}\nprint('\\n' + json.dumps(result))"
        done = self.run("-c", script)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def messages(self, *names: str) -> dict[str, str]:
        """For each name, what resolving it says: the id, or the error."""
        found: dict[str, str] = self.python(
            f"""
            from arl_core.interfaces import UserError
            from arl_core.registry import resolve_env
            from arl_core.registry.known import KNOWN_FAMILIES
            KNOWN_FAMILIES["neverland"] = ("arl-plugin-neverland", ("never_",))  # one that nobody can have installed
            result = {{}}
            for name in {names!r}:
                try:
                    result[name] = resolve_env(name).id
                except UserError as error:
                    result[name] = f"error: {{error}}"
            """
        )
        return found

    def arl(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.run("-m", "arl_core", *arguments, env=env, torch=True)
