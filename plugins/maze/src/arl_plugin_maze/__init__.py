"""The mazes of gym-maze for arl: seeded, vectorised, with grid and pixel observations.

`maze` is the thing itself, `generate` draws one, `solve` knows the best way through it, `render` draws its picture;
`env` and `group` are the two implementations of the environment behind the one specification in `task`.
"""
