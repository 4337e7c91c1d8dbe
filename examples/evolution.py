"""A population by evolution: the worse half takes the weights of the better half, with mutated learning rates.

    python examples/evolution.py [FRAMES]                    four members, trained in turn
    mpiexec -n 4 python examples/evolution.py [FRAMES]       the same, a member for each rank (pip install mpi4py)

FRAMES are those of each member, in all generations together. Every member is an APPO object with processes of its own:
beside each other they need a core each.
"""

import random
import sys
from types import SimpleNamespace

import torch

from arl_core import APPO

try:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
except ImportError:
    world = SimpleNamespace(rank=0, size=1, allgather=lambda value: [value])

MEMBERS, GENERATIONS = 4, 3
frames = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
mine = range(world.rank, MEMBERS, world.size)
rates = {member: 3e-4 * 3.0 ** random.Random(member).uniform(-1, 1) for member in mine}
models = {
    member: APPO(
        "gym:CartPole-v1",
        num_workers=1,
        num_envs_per_worker=16,
        policy_kwargs={"seed": member, "learning_rate": rates[member], "serial": True},
    )
    for member in mine
}

for generation in range(GENERATIONS):
    told = {}
    for member, model in models.items():
        model.train(frames // GENERATIONS)
        score = model.evaluate(episodes=20, deterministic=False)["return_mean"]
        told[member] = (score, rates[member], model.get_parameters())
    everyone = {member: values for part in world.allgather(told) for member, values in part.items()}
    order = sorted(everyone, key=lambda member: -everyone[member][0])
    if world.rank == 0:
        print(f"generation {generation}: " + ", ".join(f"{member}: {everyone[member][0]:.0f}" for member in order), flush=True)
    half = len(order) // 2
    for better, worse in zip(order[:half], order[half:], strict=True):
        if worse in models:
            _, rate, parameters = everyone[better]
            rates[worse] = rate * random.Random(generation * MEMBERS + worse).choice([0.8, 1.25])
            models[worse].set_parameters(parameters)  # the optimiser begins anew
            models[worse].set_hyperparameters(learning_rate=rates[worse])

if world.rank == 0:
    best = everyone[order[0]]
    print(f"best: member {order[0]}, return {best[0]:.0f}, learning rate {best[1]:.2g}")
    torch.save(best[2][0], "best.pt")
for model in models.values():
    model.close()
