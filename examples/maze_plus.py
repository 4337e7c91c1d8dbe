"""A 10 x 10 maze with loops and portals: what was learned beside the best there is. `python examples/maze_plus.py [FRAMES]`"""

import sys

from arl_plugin_maze.render import render_maze
from arl_plugin_maze.solve import optimal_return, shortest_path

from arl_core import APPO
from arl_core.envs.picture import write_png

frames = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000

with APPO(env="maze-random-10x10-plus-v0", num_workers=2, num_envs_per_worker=64, policy_kwargs={"seed": 3}) as model:
    model.train(frames)
    env = model.get_env()
    observation, _ = env.reset()
    maze, path, total = env.unwrapped.maze, [], 0.0
    for _ in range(100):
        x, y = observation
        path.append(int(y * maze.size + x))
        action, _ = model.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            path.append(maze.goal if terminated else path[-1])
            break

print(f"steps {len(path) - 1}, the shortest way has {len(shortest_path(maze)) - 1}")
print(f"return {total:.3f}, the best is {optimal_return(maze):.3f}")
write_png("maze_plus.png", render_maze(maze, path))
