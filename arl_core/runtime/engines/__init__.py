"""The two engines, one of processes and one in this process, what they count, and what they tell of it."""
