"""Replacements of batch norm in any network.

In YAML they wrap the network:
`network: {class_path: networks.to_group_norm, init_args: {network: {class_path: …, init_args: …}, groups: 32}}`.
"""

from collections.abc import Callable

from timm.layers import BatchNormAct2d, FrozenBatchNormAct2d, GroupNormAct
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from compat.torch import is_batch_norm


def to_group_norm(network: nn.Module, groups: int = 32) -> nn.Module:
    """Replace every batch norm of a network, 1-D, 2-D or 3-D, by a group norm, in place.

    For batches of one or two images, where batch statistics are noise (https://arxiv.org/abs/1803.08494). Weights and
    biases are kept; running statistics are lost, so pretrained networks need some training to recover.

    Args:
        network: network, changed in place.
        groups: number of groups; 32 as in the paper. A layer whose channels it does not divide gets the largest smaller
            number that does.

    Returns:
        The network.

    Raises:
        ValueError: `groups` is below 1, or the network has no batch norm.
    """
    if groups < 1:
        raise ValueError(f"groups is {groups}, expected 1 or more")

    def group_norm(norm: nn.Module, name: str) -> nn.Module:
        channels = norm.num_features
        number = next(number for number in range(min(groups, channels), 0, -1) if channels % number == 0)
        if isinstance(norm, BatchNormAct2d):
            new: nn.Module = GroupNormAct(channels, number, eps=norm.eps, affine=norm.affine)
            new.drop, new.act = norm.drop, norm.act
        else:
            new = nn.GroupNorm(number, channels, eps=norm.eps, affine=norm.affine)
        if norm.affine:
            new.weight, new.bias = norm.weight, norm.bias
        return new

    return _replace(network, group_norm)


def to_frozen_batch_norm(network: nn.Module) -> nn.Module:
    """Freeze every batch norm of a 2-D network permanently, in place: statistics, weights and biases.

    For fine-tuning on batches of a few images, whose statistics are worse than those of pretraining; `train()` does not
    unfreeze them. A state dict from before, or of a network that was never frozen, still loads.

    Args:
        network: network with its pretrained weights, changed in place.

    Returns:
        The network.

    Raises:
        ValueError: a batch norm is not 2-D or has no statistics, or the network has no batch norm.
    """

    def frozen(norm: nn.Module, name: str) -> nn.Module:
        if not isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm) or norm.running_mean is None:
            kind = type(norm).__name__ + ("" if norm.running_mean is not None else " without running statistics")
            raise ValueError(
                f"{name} is a {kind}; only 2-D batch norms with statistics can be frozen, use networks.to_group_norm"
            )
        new: nn.Module = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
        if isinstance(norm, BatchNormAct2d):
            new = FrozenBatchNormAct2d(norm.num_features, eps=norm.eps)
            new.drop, new.act = norm.drop, norm.act
        state = norm.state_dict()
        state.pop("num_batches_tracked", None)
        new.load_state_dict(new.state_dict() | {k: v for k, v in state.items() if k in new.state_dict()})
        return new.to(norm.running_mean.device)

    return _replace(network, frozen)


def _replace(network: nn.Module, make: Callable[[nn.Module, str], nn.Module]) -> nn.Module:
    if is_batch_norm(network):
        return make(network, "the network")
    made: dict[int, nn.Module] = {}
    for path, parent in list(network.named_modules()):
        for name, child in list(parent.named_children()):
            if is_batch_norm(child):
                # A norm used in two places is replaced once.
                if id(child) not in made:
                    made[id(child)] = make(child, f"{path}.{name}".lstrip("."))
                setattr(parent, name, made[id(child)])
    if not made:
        raise ValueError(f"{type(network).__name__} has no batch norm to replace; remove this option, it has no effect")
    return network
