"""What a run's parts cost on this machine, alone and together."""
