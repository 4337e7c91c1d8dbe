"""Gymnasium's MuJoCo robots for arl.

`tasks` lists what there is; `simulator` imports MuJoCo, says what is missing and keeps its log out of the user's folder; `env`
is the environment that arl steps; `defaults` are the settings that were found to learn.
"""
