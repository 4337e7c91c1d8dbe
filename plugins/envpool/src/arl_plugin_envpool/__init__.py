"""EnvPool for arl: environments stepped in batches by C++ threads.

`pool` makes pools and describes their spaces; `group` steps one straight into the engine's memory; `env` is a single
environment, a group of one; `ids` lists what EnvPool has.
"""
