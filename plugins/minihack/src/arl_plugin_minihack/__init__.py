"""MiniHack, the small worlds of NetHack, for arl: glyphs or pixels, reproducible, with encoders.

`ids` lists what there is; `game` makes minihack's own environment, and leaves out what nobody reads; `observe` turns what
NetHack shows into observations and pictures; `env` is the environment that arl steps; `encoders` are the networks.
"""
