"""Learning: batches, optimiser steps, published weights, checkpoints."""
