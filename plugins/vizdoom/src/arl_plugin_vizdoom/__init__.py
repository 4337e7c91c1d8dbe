"""ViZDoom for arl: headless, reproducible, nothing left behind.

`game` starts the simulator's process and sees to it that nothing of it outlives us; `env` is the environment that arl steps.
"""
