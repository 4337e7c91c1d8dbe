"""Whether an environment's stacks of frames are what it says of them: its frames are stored once, on its word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from arl_core.envs.make import frame_stacks_of
from arl_core.interfaces import FrameStacking
from arl_core.ipc.stacks import frame_of, restack
from arl_core.testing.groups import Step, action_columns, recorded
from arl_core.testing.results import CheckFailed, Result, ok, rule, skip
from arl_core.testing.subject import Variant

ROWS = 2
STEPS, MOST_STEPS = 100, 2000  # until episodes have ended


@rule(
    "env.stacks",
    "correct frame_stacks (arl_core/interfaces.py, FrameStacking), or leave it out: stacks are stored whole then; inside "
    "Gymnasium's FrameStackObservation return a new array at every step",
)
def stacks_are_of_frames(variant: Variant) -> Result:
    """Every observation that `frame_stacks` names is made of its last frames, over the ends of episodes too."""
    env = variant.build()
    stackings = frame_stacks_of(env)
    env.close()
    if not stackings:
        return skip("says nothing of frame_stacks")
    begun = 0
    with recorded(variant, ROWS, vectorised=True) as group:
        actions = action_columns(variant, group)
        steps = [group.reset()]
        while len(steps) <= MOST_STEPS and (len(steps) <= STEPS or begun < ROWS):
            steps.append(group.step(actions(steps[-1])))
            begun += int(np.count_nonzero(~steps[-1].valid))
    wrong = unlike_frames(steps, stackings)
    if wrong:
        raise CheckFailed(wrong)
    notes = () if begun else ("no episode ended: how one begins was not seen",)
    return ok(f"{', '.join(stackings)}: {len(steps) - 1} steps, {begun} beginnings", notes)


def unlike_frames(steps: Sequence[Step], stackings: Mapping[str, FrameStacking]) -> str:
    """Where the observations of `steps`, the first of which is a reset, are not made of their frames; "" where they are."""
    began = ~np.stack([step.valid for step in steps])
    for key, stacking in stackings.items():
        shown = np.stack([step.obs[key] for step in steps])
        newest = frame_of(shown, stacking, stacking.frames - 1, 2)
        before = [frame_of(shown[:1], stacking, number, 2) for number in range(stacking.frames - 1)]
        made = np.empty_like(shown)
        restack(np.concatenate([*before, newest]), began, stacking, made)
        wrong = np.argwhere(made != shown)
        if len(wrong):
            step, row, *where = (int(number) for number in wrong[0])
            values = f"shows {shown[tuple(wrong[0])]}, its frames give {made[tuple(wrong[0])]}"
            return f"observation '{key}' is not {stacking}: at {where}, step {step}, environment {row} {values}"
    return ""
