"""What each process of a run is started with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arl_core.ipc.component import ComponentSpec
from arl_core.ipc.control import Role
from arl_core.learning.process import LearnerSpec
from arl_core.runtime.plan import RunPlan, worker_cpu
from arl_core.sampling.evaluator import EvaluatorSpec
from arl_core.sampling.policy_worker import PolicyWorkerSpec
from arl_core.sampling.replica import ReplicaSpec
from arl_core.sampling.rollout_worker import RolloutSpec

BODIES: Mapping[Role, str] = {
    Role.ROLLOUT: "arl_core.sampling.rollout_worker:RolloutWorker",
    Role.POLICY: "arl_core.sampling.policy_worker:PolicyWorker",
    Role.LEARNER: "arl_core.learning.process:LearnerProcess",
    Role.EVALUATION: "arl_core.sampling.evaluator:Evaluator",
}
HOGWILD_BODIES: Mapping[Role, str] = {
    Role.ROLLOUT: "arl_core.runtime.engines.hogwild_worker:HogwildWorker",
    Role.LEARNER: "arl_core.learning.hogwild:Keeper",
}


def body_of(plan: RunPlan, role: Role) -> str:
    """What the processes of a role run."""
    return HOGWILD_BODIES.get(role, BODIES[role]) if plan.cfg.hogwild else BODIES[role]


def spec_of(plan: RunPlan, component: ComponentSpec, life: int, folder: Path | None) -> Any:
    """The specification that `body_of` the component's role takes. `life`: how often it was started before; `folder`: of
    the run's checkpoints."""
    if component.role is Role.ROLLOUT:
        return _rollout_spec(plan, component.index, life)
    if component.role is Role.POLICY:
        share_of = plan.num_policy_workers // plan.cfg.num_policies
        policy, share = divmod(component.index, share_of)
        replica = ReplicaSpec(plan.recipe, stream=component.index, life=life, device=plan.device, policy=policy)
        return PolicyWorkerSpec(plan.shape, replica, share, share_of, _group_bells(plan), policy)
    if component.role is Role.EVALUATION:
        return EvaluatorSpec(plan.env, plan.recipe, plan.agent_policies)
    policy = component.index
    place = str(folder / f"p{policy}") if folder else ""
    return LearnerSpec(plan.shape, plan.recipe, plan.device, policy, place, _group_bells(plan), plan.most_threads)


def _group_bells(plan: RunPlan) -> tuple[int, ...]:
    workers = plan.numbers_of(Role.ROLLOUT)
    return tuple(workers[g // plan.groups_per_worker] for g in range(plan.shape.num_groups))


def _rollout_spec(plan: RunPlan, worker: int, life: int) -> RolloutSpec:
    cfg = plan.cfg
    return RolloutSpec(
        env=plan.env,
        shape=plan.shape,
        groups=plan.worker_groups(worker),
        seed=cfg.seed,
        replica=ReplicaSpec(plan.recipe, stream=worker, life=life) if plan.inference == "local" else None,
        learners=plan.numbers_of(Role.LEARNER),
        policy_workers=plan.numbers_of(Role.POLICY),
        casting=plan.casting,
        life=life,
        niceness=cfg.niceness,
        cpu=worker_cpu(cfg, worker),
        decorrelation=plan.decorrelation,
    )
