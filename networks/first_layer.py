"""Pretrained first layers for images with more or fewer channels."""

import torch
from torch import Tensor, nn

from compat.smp import tell_encoders


def spread(known: int, channels: int, copies: list[int] | None = None) -> Tensor:
    """Matrix `(known, channels)` that distributes the weights of pretrained channels to new ones.

    Without `copies`, new channel i gets channel i mod known, divided by the number of channels that get it; a channel
    that none gets (there are fewer new ones) is spread over all. The rows sum to 1, so an image with equal channels
    gives the responses of the pretrained layer, which its norms and all later layers expect.

    Args:
        known: number of channels of the pretrained weights, usually 3.
        channels: number of channels of the images.
        copies: index of the pretrained channel that each new channel copies, undivided: `[0, 1, 2, 1]` starts the
            yellow of RGBY as green (HPA 2018).

    Raises:
        ValueError: `copies` does not have one index per channel, or an index is out of range.
    """
    matrix = torch.zeros(known, channels)
    if copies is not None:
        if len(copies) != channels or not all(0 <= copy < known for copy in copies):
            raise ValueError(
                f"channel_copies is {copies}, expected {channels} indices (one per channel of the image) in "
                f"0..{known - 1} (the pretrained channels)"
            )
        matrix[torch.tensor(copies), torch.arange(channels)] = 1
        return matrix
    matrix[torch.arange(channels) % known, torch.arange(channels)] = 1
    matrix[matrix.sum(1) == 0] = 1
    return matrix / matrix.sum(1, keepdim=True)


def repack(weight: Tensor, channels: int, copies: list[int] | None = None) -> Tensor:
    """Weights of a first convolution for another number of channels.

    Args:
        weight: pretrained weights `(O, known, *kernel)`.
        channels: number of channels of the images.
        copies: as in `spread`.

    Returns:
        Weights `(O, channels, *kernel)` of the same type. With `copies` they are bit-identical.
    """
    if copies is not None:
        spread(weight.shape[1], channels, copies)
        return weight[:, torch.tensor(copies)].clone()
    if weight.shape[1] == channels:
        return weight
    matrix = spread(weight.shape[1], channels).to(weight.device)
    return torch.einsum("oi...,ij->oj...", weight.float(), matrix).to(weight.dtype)


def repack_state(
    state: dict[str, Tensor],
    expected: dict[str, Tensor],
    channels: int,
    copies: list[int] | None = None,
    known: int = 3,
) -> dict[str, Tensor]:
    """A state dict with first convolutions repacked for another number of channels.

    Args:
        state: weights of a network for `known` channels.
        expected: state dict of the network that loads them.
        channels: number of channels of the images.
        copies: as in `spread`.
        known: number of channels of the pretrained weights.
    """
    stems = [
        name
        for name, value in expected.items()
        if name in state and value.ndim >= 4 and value.shape == _with_inputs(state[name], known, channels)
    ]
    if channels == known:  # nothing to adapt; copies may still reorder (BGR), in the first layer only
        stems = stems[:1] if copies is not None else []
    return dict(state) | {name: repack(state[name], channels, copies) for name in stems}


def _with_inputs(weight: Tensor, known: int, channels: int) -> tuple[int, ...] | None:
    """Shape of a weight for `known` input channels changed to `channels`; None for other weights."""
    shape = tuple(weight.shape)
    return (shape[0], channels, *shape[2:]) if len(shape) >= 4 and shape[1] == known else None


def set_in_channels(network: nn.Module, channels: int, copies: list[int] | None = None) -> nn.Module:
    """Adapt any network (of smp, timm, torchvision) to images of another number of channels.

    The weights of the first convolution, in module order, are repacked. In YAML it wraps the network: `class_path:
    networks.set_in_channels`, `init_args: {network: {class_path: …Unet, init_args: {in_channels: 3, …}}, channels: 4,
    copies: [0, 1, 2, 1]}`.

    Args:
        network: network for three channels, changed in place.
        channels: number of channels of the images.
        copies: as in `spread`.

    Returns:
        The network.

    Raises:
        ValueError: the network has no convolution, or its first one is grouped.
    """
    found = next(((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)
    if found is None:
        raise ValueError(f"{type(network).__name__} has no convolution, so its input channels cannot be set")
    name, old = found
    if old.groups != 1:
        raise ValueError(
            f"the first convolution of {type(network).__name__}, {name}, has {old.groups} groups, expected 1"
        )
    weight = repack(old.weight.data, channels, copies)
    before, old.in_channels = old.in_channels, channels
    old.weight = nn.Parameter(weight, requires_grad=old.weight.requires_grad)
    tell_encoders(network, before, channels)
    return network
