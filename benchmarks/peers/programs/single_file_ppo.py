"""PPO in one short file and one process, in the style of CleanRL: gymnasium's SyncVectorEnv, one loop, one network.

`--mode envpool`: Pong is stepped by EnvPool, with as many threads as there are workers elsewhere.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from common import PONG, Meter, arguments, make_env
from torch import Tensor, nn
from torch.distributions import Categorical

GAMMA, LAMBDA, CLIP, ENTROPY, VALUE, MAX_NORM = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5


class Agent(nn.Module):
    def __init__(self, inputs: int, hidden: int, actions: int) -> None:
        super().__init__()
        self.actor, self.critic = (
            nn.Sequential(
                nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
            )
            for outputs in (actions, 1)
        )  # fmt: skip

    def forward(self, obs: Tensor) -> tuple[Categorical, Tensor]:
        return Categorical(logits=self.actor(obs)), self.critic(obs).squeeze(-1)


class PixelAgent(nn.Module):
    """The network of Mnih et al. (2015), with a second head for the value."""

    def __init__(self, frames: int, hidden: int, actions: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(frames, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * 7 * 7, hidden), nn.ReLU(),
        )  # fmt: skip
        self.actor, self.critic = nn.Linear(hidden, actions), nn.Linear(hidden, 1)

    def forward(self, obs: Tensor) -> tuple[Categorical, Tensor]:
        features = self.encoder(obs / 255.0)
        return Categorical(logits=self.actor(features)), self.critic(features).squeeze(-1)


def make_envs(args: argparse.Namespace) -> tuple[Any, Tensor]:
    """The environments, and their first observations."""
    if args.mode == "envpool":
        import envpool

        envs = envpool.make_gymnasium(
            "Pong-v5", num_envs=args.envs, num_threads=args.workers, seed=1, reward_clip=True, noop_max=30, use_fire_reset=True,
            frame_skip=4, stack_num=4, repeat_action_probability=0.0,
        )  # fmt: skip
        return envs, torch.from_numpy(envs.reset()[0])
    envs = gym.vector.SyncVectorEnv([partial(make_env, args.env) for _ in range(args.envs)])
    return envs, torch.from_numpy(envs.reset(seed=1)[0])


def advantages_of(rewards: Tensor, values: Tensor, ended: Tensor) -> Tensor:
    """Generalised advantage estimate (Schulman et al., 2016): rewards, ended [T, N], values [T+1, N]."""
    result, last = torch.zeros_like(rewards), torch.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        alive = 1.0 - ended[t]
        delta = rewards[t] + GAMMA * values[t + 1] * alive - values[t]
        last = delta + GAMMA * LAMBDA * alive * last
        result[t] = last
    return result


def update(agent: Agent, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], epochs: int, minibatches: int) -> None:
    rows = len(batch["actions"])
    for _ in range(epochs):
        for index in torch.randperm(rows).chunk(minibatches):
            part = {key: value[index] for key, value in batch.items()}
            dist, values = agent(part["obs"])
            ratio = (dist.log_prob(part["actions"]) - part["log_probs"]).exp()
            advantage = part["advantages"]
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            policy_loss = -torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).mean()
            value_loss = 0.5 * (values - part["returns"]).square().mean()
            loss = policy_loss - ENTROPY * dist.entropy().mean() + VALUE * value_loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), MAX_NORM)
            optimizer.step()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    envs, first = make_envs(args)
    network = PixelAgent if args.env == PONG else Agent
    agent = network(first.shape[1], args.hidden, int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=3e-4, eps=1e-5)
    shape = (args.rollout, args.envs)
    obs, values = torch.zeros(args.rollout + 1, *first.shape, dtype=first.dtype), torch.zeros(args.rollout + 1, args.envs)
    chosen, log_probs, rewards, ended = torch.zeros(shape, dtype=torch.long), *(torch.zeros(shape) for _ in range(3))
    obs[0] = first
    meter, frames = Meter(args), 0
    while True:
        for t in range(args.rollout):
            with torch.no_grad():
                dist, values[t] = agent(obs[t])
                chosen[t] = dist.sample()
                log_probs[t] = dist.log_prob(chosen[t])
            following, reward, terminated, truncated, _ = envs.step(chosen[t].numpy())
            obs[t + 1] = torch.from_numpy(following)
            rewards[t] = torch.from_numpy(reward)
            ended[t] = torch.from_numpy(np.logical_or(terminated, truncated).astype(np.float32))
        with torch.no_grad():
            values[-1] = agent(obs[-1])[1]
        advantages = advantages_of(rewards, values, ended)
        batch = {
            "obs": obs[:-1].flatten(0, 1), "actions": chosen.flatten(), "log_probs": log_probs.flatten(),
            "advantages": advantages.flatten(), "returns": (advantages + values[:-1]).flatten(),
        }  # fmt: skip
        update(agent, optimizer, batch, args.epochs, args.minibatches)
        obs[0] = obs[-1]
        frames += args.envs * args.rollout
        if not meter.add(frames):
            break
    meter.report()


if __name__ == "__main__":
    main()
