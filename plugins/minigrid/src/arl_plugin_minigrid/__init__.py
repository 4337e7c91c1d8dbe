"""MiniGrid and BabyAI for arl: several times as fast, reproducible, with encoders.

`ids` lists what there is; `game` makes minigrid's own environment of an id; `view` is what its agent sees, by look-up instead
of by objects; `mission` turns text into numbers; `env` is the environment that arl steps; `encoders` are the networks.
"""
