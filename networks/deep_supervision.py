"""Deep supervision of library networks, as the loss formula expects it."""

from typing import Any

from torch import Tensor, nn


def unstack_deep_supervision(network: nn.Module) -> nn.Module:
    """Make a network return its stacked deep supervision outputs as a list from fine to coarse.

    MONAI's DynUNet with `deep_supervision: true` returns `(N, levels, classes, *spatial)` in training, all levels
    at the image's size, and `(N, classes, *spatial)` in evaluation. In YAML it wraps the network:
    `{class_path: networks.unstack_deep_supervision, init_args: {network:
    {class_path: monai.networks.nets.DynUNet, …}}}`.

    Args:
        network: network, changed in place; its weights keep their names.

    Returns:
        The network.
    """
    network.register_forward_hook(_levels)
    return network


def _levels(network: nn.Module, inputs: Any, output: Tensor) -> Tensor | list[Tensor]:
    return list(output.unbind(1)) if network.training else output
