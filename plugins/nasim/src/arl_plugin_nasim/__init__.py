"""NASim, simulated network attacks, for arl: vectorised, reproducible, with masks and exact optima.

`scenario` loads and generates networks with nasim; `tables` turns one into arrays; `simulation` plays many copies of it at
once; `observe` says what the attacker sees of them; `task` puts these together, once for `env` (one environment) and `group`
(many); `solve` computes the best expected return; `render` draws.
"""
