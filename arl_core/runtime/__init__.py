"""The run: its plan, its processes, its two engines, and the trainer that drives them."""
