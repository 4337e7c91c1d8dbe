"""What a configuration means on this machine: spaces, slots, processes, shared arrays. Decided once, before anything starts."""

from __future__ import annotations

import logging
import os
import re
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from arl_core.config import RunConfig
from arl_core.envs.decorrelate import Decorrelation, ends_episodes
from arl_core.envs.faults import EnvironmentFault, close_after_use, close_quietly
from arl_core.envs.group import build_group, make_contexts
from arl_core.envs.make import build_any, frame_stacks_of
from arl_core.envs.multi_agent import is_parallel, shared_spaces
from arl_core.envs.spaces import ActionLayout, obs_specs
from arl_core.interfaces import ArraySpec, EnvContext, FrameStacking, ResolvedEnv, RunParts, UserError
from arl_core.ipc.component import ComponentSpec
from arl_core.ipc.control import Role, control_specs
from arl_core.ipc.mailbox import mailbox_specs
from arl_core.ipc.slots import SlotShape, slot_specs
from arl_core.ipc.weights import weights_specs
from arl_core.learning.hogwild import hogwild_specs
from arl_core.learning.process import learner_specs
from arl_core.models.policy import PolicyNetwork
from arl_core.models.recipe import ModelRecipe
from arl_core.models.spaces import ACTION_MASK, network_shape, network_space
from arl_core.runtime.policies import casting_of, policies_of
from arl_core.sampling.casting import CastingSpec
from arl_core.spaces import leaves_of, value_at

log = logging.getLogger("arl")


def resolve_device(name: str) -> str:
    """A torch device name from "auto", "cpu", "gpu", "cuda", "cuda:N" or a torch.device. Raises UserError."""
    import torch

    name = str(name)
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    named = re.fullmatch(r"(?:gpu|cuda)(?::([0-9]+))?", name)
    if named is None:
        raise UserError(f"device '{name}' is not known; choose auto, cpu, gpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        built = "" if torch.version.cuda or torch.version.hip else f" (torch {torch.__version__} is a build for CPUs)"
        raise UserError(
            f"device '{name}': there is no GPU that torch can use here{built}; choose 'cpu', or 'auto' to take what is there"
        )
    if int(named[1] or 0) >= torch.cuda.device_count():
        raise UserError(f"device '{name}': this machine has {torch.cuda.device_count()} GPU(s), numbered from 0")
    return name.replace("gpu", "cuda")


def choose_inference(cfg: RunConfig, device: str, *, small: bool) -> tuple[str, str]:
    """("local" or "central", why). Central pays where a device computes for all; elsewhere, and for a network so `small` that
    it acts in NumPy, its messages cost more than they save."""
    if cfg.hogwild:
        return "local", "hogwild: each rollout worker trains the policy that it acts with"
    if cfg.inference in {"local", "central"}:
        return cfg.inference, "as configured"
    if device == "cpu":
        return "local", "no GPU: a copy of the policy in each rollout worker needs no message per step"
    if small:
        return "local", "a network this small acts in a rollout worker in less time than a message takes"
    return "central", f"one batch for all environments on {device}"


class Probe(NamedTuple):
    """What an environment shows before anything starts."""

    obs_space: Any
    action_space: Any
    agents: tuple[str, ...] = ()  # of an environment of several
    frame_stacks: Mapping[str, FrameStacking] = {}


def probe_spaces(env: ResolvedEnv, cfg: RunConfig) -> Probe:
    """Spaces and agents of an environment that is built and closed again."""
    try:
        instance = build_any(env, EnvContext(run_seed=cfg.seed, index=0, seed=0))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        log.info("%s", traceback.format_exc().rstrip())
        raise UserError(f"environment '{env.id}' cannot be built: {type(error).__name__}: {error}") from error
    try:
        if is_parallel(instance):
            return Probe(*shared_spaces(instance, env.id), tuple(instance.possible_agents))
        missing = [name for name in ("observation_space", "action_space") if not hasattr(instance, name)]
        if missing:
            raise UserError(f"environment '{env.id}' has no {' and no '.join(missing)}: set it in its class or in __init__")
        return Probe(instance.observation_space, instance.action_space, frame_stacks=frame_stacks_of(instance))
    finally:
        close_quietly(instance)


@dataclass(frozen=True)
class RunPlan:
    """A run's layout, the same for every process."""

    cfg: RunConfig
    env: ResolvedEnv
    recipe: ModelRecipe
    device: str
    inference: str
    inference_reason: str
    shape: SlotShape
    groups_per_worker: int
    weights_bytes: int
    agents: tuple[str, ...]  # of an environment of several; otherwise empty
    casting: CastingSpec | None  # who plays what; None: one policy plays every row
    agent_policies: tuple[int, ...]  # the policy of each agent, in an evaluation too

    @property
    def num_policy_workers(self) -> int:
        """Policy workers of the run; none where inference is local."""
        return policy_workers(self.cfg, self.device) * self.cfg.num_policies if self.inference == "central" else 0

    @property
    def cores(self) -> int:
        """Processors that the run can use: in serial mode those of its kernels' threads."""
        return min(self.cfg.torch_threads or 1, available_cores()) if self.cfg.serial else available_cores()

    @property
    def most_threads(self) -> int:
        """Threads that a learner may come to by itself, where the run does not say how many."""
        cfg = self.cfg
        is_open = cfg.torch_threads is None and self.device == "cpu" and not (cfg.serial or cfg.hogwild)
        return max(available_cores() // cfg.num_policies, 1) if is_open else 1

    @property
    def decorrelation(self) -> Decorrelation | None:
        """What environments play before their first frame."""
        steps = self.cfg.decorrelate_steps
        return Decorrelation(steps, self.recipe.action_space) if steps else None

    @cached_property
    def components(self) -> list[ComponentSpec]:
        """Every process: rollout workers, policy workers, learners, and the evaluator where there is one."""
        kinds = [
            (Role.ROLLOUT, "rollout", self.cfg.num_workers),
            (Role.POLICY, "policy", self.num_policy_workers),
            (Role.LEARNER, "learner", self.cfg.num_policies),
            (Role.EVALUATION, "evaluator", int(self.cfg.evaluates)),
        ]
        named = [(role, name, index) for role, name, count in kinds for index in range(count)]
        return [ComponentSpec(f"{name}-{index}", role, index, number) for number, (role, name, index) in enumerate(named)]

    def numbers_of(self, role: Role) -> tuple[int, ...]:
        """Component numbers of one role's processes."""
        return tuple(component.component for component in self.components if component.role is role)

    def worker_groups(self, worker: int) -> range:
        """The environment groups of one rollout worker."""
        return range(worker * self.groups_per_worker, (worker + 1) * self.groups_per_worker)

    @cached_property
    def table(self) -> dict[str, ArraySpec]:
        """Every shared array of the run: the one table."""
        count, policies = len(self.components), self.cfg.num_policies
        shared = hogwild_specs(self.cfg.num_workers, self.weights_bytes, self.cfg.optimizer)
        return {
            **control_specs(count, policies),
            **learner_specs(policies),
            **mailbox_specs("reports", count),
            **mailbox_specs("commands", count),
            **weights_specs(self.shape.num_players, self.weights_bytes),
            "weights.transfer": ArraySpec((policies, self.weights_bytes), "uint8"),
            "weights.evaluated": ArraySpec((policies, self.weights_bytes), "uint8"),
            **slot_specs(self.shape),
            **(shared if self.cfg.hogwild and not self.cfg.serial else {}),
        }


def group_split(cfg: RunConfig, inference: str, device: str) -> tuple[int, int]:
    """(groups per worker, environments per group).

    Two groups hide the latency of an answer, where somebody has the time to compute it meanwhile: a GPU, or a core that no
    rollout worker needs. Elsewhere one larger group costs less (benchmarks/LOG.md).
    """
    splits = cfg.worker_num_splits
    if splits is None:
        processes = cfg.num_workers + policy_workers(cfg, device) * cfg.num_policies + cfg.num_policies
        hidden = inference == "central" and (device != "cpu" or available_cores() >= processes)
        splits = 2 if hidden and cfg.num_envs_per_worker % 2 == 0 else 1
    return splits, cfg.num_envs_per_worker // splits


def policy_workers(cfg: RunConfig, device: str) -> int:
    """Policy workers for each policy, where inference is central.

    A GPU is served best by one large batch. On a CPU a process that is woken by one of its own core goes on at once, by one of
    another core five times as late (benchmarks/LOG.md), so there is one for each core that steps environments.
    """
    if cfg.policy_workers_per_policy is not None:
        return cfg.policy_workers_per_policy
    return 1 if device != "cpu" else min(cfg.num_workers, available_cores())


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slots_per_group(cfg: RunConfig, num_groups: int, group_size: int) -> int:
    """Enough slots that a whole iteration can be sampled while another is trained on."""
    if cfg.slots_per_group is not None:
        return cfg.slots_per_group
    iteration = cfg.batch_size * cfg.num_batches_per_iteration
    slots = -(-iteration // (cfg.rollout * group_size))
    return max(2, -(-slots // num_groups) + 1)


def slots_per_iteration(cfg: RunConfig, num_agents: int = 1) -> int:
    """Synchronous mode: slots of each group in one iteration; 0 in asynchronous mode. Raises UserError where they are not whole
    (the configuration knows it of environments of one agent)."""
    if cfg.async_rl:
        return 0
    iteration = cfg.batch_size * cfg.num_batches_per_iteration
    step = cfg.rollout * cfg.num_workers * cfg.num_envs_per_worker * num_agents
    if iteration % step:
        raise UserError(
            f"without async_rl, batch_size x num_batches_per_iteration ({iteration}) must be a multiple of rollout x "
            f"environments x agents ({step})"
        )
    return iteration // step


def make_plan(cfg: RunConfig, env: ResolvedEnv, parts: RunParts) -> RunPlan:
    """Decide everything that follows from the configuration. Builds one environment and one network to measure them."""
    from arl_core.models.dense_numpy import dense_policy
    from arl_core.models.flat import flatten_module

    device = resolve_device("cpu" if cfg.hogwild and cfg.device == "auto" else cfg.device)
    obs_space, action_space, agents, frame_stacks = probe_spaces(env, cfg)
    casting = casting_of(cfg, agents)
    layout = ActionLayout(action_space)
    recipe = ModelRecipe(obs_space, action_space, cfg, parts)
    model = _network(recipe)
    if cfg.precision == "bfloat16" and device == "cpu" and not _has_bfloat16():
        log.warning("precision bfloat16: this processor has no instructions for it; float32 is faster here")
    if cfg.torch_compile and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise UserError("torch_compile needs a C++ compiler (g++, or what CXX names): install one, or leave torch_compile out")
    if cfg.hogwild:
        _check_hogwild(device, dict(model.named_buffers()))
    small = dense_policy(model) is not None
    inference, reason = ("local", "serial mode") if cfg.serial else choose_inference(cfg, device, small=small)
    groups_per_worker, envs_per_group = group_split(cfg, inference, device)
    num_agents = max(len(agents), 1)
    group_size = envs_per_group * num_agents
    num_groups = groups_per_worker * cfg.num_workers
    shape = SlotShape(
        num_policies=cfg.num_policies,
        num_groups=num_groups,
        slots_per_group=slots_per_group(cfg, num_groups, group_size),
        rollout=cfg.rollout,
        group_size=group_size,
        obs=obs_specs(obs_space),
        action_size=layout.size,
        action_dtype=layout.dtype,
        params_size=model.dist.params_size,
        state_size=model.state_size,
        squashed=model.dist.squashed,
        slots_per_iteration=slots_per_iteration(cfg, num_agents),
        num_agents=num_agents,
        snapshots_per_policy=casting.snapshots_per_policy if casting is not None else 0,
        stackings=frame_stacks,
    )
    size = flatten_module(model).nbytes
    policies = policies_of(cfg, agents)
    return RunPlan(cfg, env, recipe, device, inference, reason, shape, groups_per_worker, size, agents, casting, policies)


def _network(recipe: ModelRecipe) -> PolicyNetwork:
    """The run's network, which has been seen to act. Raises UserError that names encoder or model where it cannot."""
    import torch

    cfg, specs = recipe.cfg, obs_specs(recipe.obs_space)
    for key in specs:
        if key.endswith(f".{ACTION_MASK}"):  # a wrapper has put it there, perhaps
            log.warning("observation '%s' masks no actions: a mask is the key %s of the observation itself", key, ACTION_MASK)
    try:
        model = recipe.build().eval()
        recipe.obs_space.seed(0)
        sample = recipe.obs_space.sample()
        leaves = {key: value_at(path, sample) for key, (path, _) in leaves_of(recipe.obs_space).items()}
        obs = {key: torch.from_numpy(np.asarray(leaf, specs[key].dtype)[None]) for key, leaf in leaves.items()}
        if ACTION_MASK in obs:
            obs[ACTION_MASK].fill_(1)  # a sample may forbid everything
        with torch.inference_mode():
            model.act(obs, None, None, deterministic=True)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        log.info("%s", traceback.format_exc().rstrip())
        who = f"encoder '{cfg.encoder or 'auto'}'" if cfg.model is None else f"model '{cfg.model}'"
        seen = network_space(recipe.obs_space).spaces
        shapes = ", ".join(f"{key} {network_shape(space)}" for key, space in seen.items())
        from arl_core.registry.loading import place_of  # it imports pluggy, which no worker needs

        told = f"{type(error).__name__}: {error}{place_of(error)}"
        raise UserError(f"{who} cannot be used for observations {shapes}: {told}") from error
    if cfg.use_rnn and not model.state_size:
        raise UserError(f"model '{cfg.model}' has no memory, with use_rnn either: leave it out")
    return model.train()


def _has_bfloat16() -> bool:
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)  # torch 2.10 and later; otherwise nothing is known
    return capabilities is None or any(there for name, there in capabilities().items() if name.endswith("bf16"))


def _check_hogwild(device: str, buffers: Mapping[str, Any]) -> None:
    if device != "cpu":
        raise UserError(f"hogwild trains in the rollout workers, on processors; device is '{device}'. Choose device cpu")
    if buffers:
        raise UserError(
            f"hogwild shares parameters alone, and this network has running statistics ('{next(iter(buffers))}'). "
            "Turn normalize_input, normalize_returns and use_spectral_norm off, or train with a learner (no hogwild)"
        )


def check_group(plan: RunPlan) -> None:
    """A vectorised group must show what the single environment showed. Raises UserError naming the first difference."""
    try:
        group = build_group(plan.env, make_contexts(plan.cfg.seed, 0, 1))
    except EnvironmentFault as error:
        log.info("%s", traceback.format_exc().rstrip())
        raise UserError(f"environment '{plan.env.id}' cannot be built: its vectorised form: {error}") from error
    try:
        theirs: Mapping[str, ArraySpec] = group.obs_specs
        if dict(theirs) != dict(plan.shape.obs):
            makers = ", ".join(filter(None, [plan.env.dist or "its author", *plan.env.vector_wrappers]))
            raise UserError(
                f"environment '{plan.env.id}': its vectorised form observes {dict(theirs)}, "
                f"its single form {dict(plan.shape.obs)}; report this to {makers}"
            )
        if plan.decorrelation is not None and not ends_episodes(group):
            log.warning(
                "%s: its vectorised form cannot begin single episodes anew: decorrelate_steps sets groups apart, but not the "
                "environments of one group",
                plan.env.id,
            )
    finally:
        close_after_use(group)


def worker_cpu(cfg: RunConfig, worker: int) -> int | None:
    """The processor that a rollout worker is pinned to, or None."""
    if not cfg.cpu_affinity or not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[worker % len(allowed)]
