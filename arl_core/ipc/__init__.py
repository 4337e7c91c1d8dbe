"""Between processes: shared memory, slots, weights, commands, doorbells, messages. Knows no environment and no network."""
