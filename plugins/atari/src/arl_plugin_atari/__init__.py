"""The Atari 2600 games for arl.

`games` lists them; `task` is what is played; `env` is the game as a `gymnasium.Env`, in Python; `pools` are the vectorised
back ends; `group` steps one of them as the engine wants it, with lives and clipped rewards.
"""
