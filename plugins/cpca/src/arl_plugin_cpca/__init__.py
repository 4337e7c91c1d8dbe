"""CPC|A (Guo et al. 2018) for arl: `arl run --use-rnn true --losses '[{"name": "cpca/cpca"}]'`."""
