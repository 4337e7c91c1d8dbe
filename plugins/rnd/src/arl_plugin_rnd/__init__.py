"""Random network distillation (Burda et al. 2018) for arl: `arl run --losses '[{"name": "rnd/rnd"}]'`."""
