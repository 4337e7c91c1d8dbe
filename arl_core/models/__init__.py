"""Encoders, recurrent cores, action distributions, the actor-critic and its normalisers."""
