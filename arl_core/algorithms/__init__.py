"""Losses and targets as pure functions on time-major [T, B] tensors."""
