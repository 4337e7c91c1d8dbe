"""How weights begin, where the configuration wants it otherwise than the layers' own way, and spectral norms."""

from __future__ import annotations

import torch
from torch import nn

from arl_core.config import RunConfig
from arl_core.models.layers import Mlp


@torch.no_grad()
def initialize_(module: nn.Module, cfg: RunConfig) -> None:
    """Draw the weights of all linear, convolutional and recurrent layers in `module` as `policy_initialization` says, times
    `policy_init_gain`, in place. "orthogonal" is how the layers are made already: their own gains stay, times that factor.

    Other layers, such as a plugin's own kinds, stay as they are.
    """
    kind, gain = cfg.policy_initialization, cfg.policy_init_gain
    if kind == "orthogonal" and gain == 1.0:
        return
    for layer in module.modules():
        if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.RNNCellBase):
            continue
        if kind == "torch_default":
            layer.reset_parameters()
        for name, parameter in layer.named_parameters(recurse=False):
            if "weight" in name:
                if kind == "xavier_uniform":
                    nn.init.xavier_uniform_(parameter)
                parameter.mul_(gain)
            elif kind != "torch_default":
                parameter.zero_()


def normalize_spectra(module: nn.Module) -> None:
    """Divide the weights of all dense layers (`Mlp`) in `module` by their greatest singular value (Miyato et al. 2018)."""
    for part in module.modules():
        if isinstance(part, Mlp):
            part.normalize_spectra()
