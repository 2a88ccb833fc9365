"""Parameter groups of an optimizer, with weight decay and learning rate."""

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lightning_modules.rates import rate_scales

Group = dict[str, Any]


def network_groups(
    network: nn.Module, trained: Collection[str], layer_decay: float = 1.0, encoder_lr_factor: float = 1.0
) -> list[Group]:
    """Parameter groups of a network: weights with weight decay, norms and biases without.

    Layers of different learning rates have separate groups, with their factor as `lr_scale`.

    Args:
        network: any network.
        trained: names of the parameters to train.
        layer_decay: factor per layer, see `lightning_modules.rates`.
        encoder_lr_factor: factor of the encoder, see `lightning_modules.rates`.
    """
    scales = rate_scales(network, layer_decay, encoder_lr_factor)
    chosen = [(value, scales[value]) for name, value in network.named_parameters() if name in trained]
    groups: list[Group] = []
    for scale in dict.fromkeys(scale for _, scale in chosen):
        members = [parameter for parameter, its in chosen if its == scale]
        extra = {} if scale == 1 else {"lr_scale": scale}
        groups.append({"params": [parameter for parameter in members if parameter.ndim > 1]} | extra)
        rest = [parameter for parameter in members if parameter.ndim <= 1]
        groups.append({"params": rest, "weight_decay": 0.0} | extra)
    return [group for group in groups if group["params"]]


def loss_groups(losses: Iterable[nn.Module]) -> list[Group]:
    """Parameter groups of losses, without weight decay.

    An attribute `learning_rate` of a loss overrides the optimizer's (0.5 for the centres of the center loss).
    """
    groups: list[Group] = []
    for loss in dict.fromkeys(losses):  # a loss used twice in the formula has one group
        group: Group = {"params": list(loss.parameters()), "weight_decay": 0.0}
        rate = getattr(loss, "learning_rate", None)
        groups.append(group if rate is None else group | {"lr": rate})
    return [group for group in groups if group["params"]]


def fuse(optimizer: Optimizer) -> None:
    """Use the fused kernels of Adam and AdamW unless the config sets otherwise."""
    if isinstance(optimizer, torch.optim.Adam):
        for group in optimizer.param_groups:
            if group.get("fused") is None and not group.get("foreach"):
                group["fused"] = True
