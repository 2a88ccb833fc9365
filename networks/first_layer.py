"""First layers for images with more, or fewer, channels than the weights were trained on."""

import torch
from torch import Tensor, nn

from compat.smp import tell_encoders


def spread(known: int, channels: int, copies: list[int] | None = None) -> Tensor:
    """How the weights of `known` channels are spread over new ones, `(known, channels)`.

    Without `copies` new channel i takes channel i mod known, divided by how many take it; a channel that none takes
    (there are fewer new than known) is spread over all. So the rows sum to 1: an image that is equal in all channels
    gives the responses that the pretrained layer gives, to which its norms and all layers after it are fitted.

    Args:
        known: channels that the weights know, 3 as a rule.
        channels: channels of the images.
        copies: for each new channel the known one that it copies, undivided: `[0, 1, 2, 1]` lets the yellow of RGBY
            start as green (HPA 2018).

    Raises:
        ValueError: another number of copies than channels, or a copy of a channel that is not there.
    """
    matrix = torch.zeros(known, channels)
    if copies is not None:
        if len(copies) != channels or not all(0 <= copy < known for copy in copies):
            raise ValueError(
                f"channel_copies is {copies}, expected {channels} numbers (one per channel of the image) in "
                f"0..{known - 1} (the channels that the weights know)"
            )
        matrix[torch.tensor(copies), torch.arange(channels)] = 1
        return matrix
    matrix[torch.arange(channels) % known, torch.arange(channels)] = 1
    matrix[matrix.sum(1) == 0] = 1
    return matrix / matrix.sum(1, keepdim=True)


def repack(weight: Tensor, channels: int, copies: list[int] | None = None) -> Tensor:
    """Weights of a first convolution for another number of channels.

    Args:
        weight: `(O, known, *kernel)`.
        channels: of the images.
        copies: as in `spread`.

    Returns:
        `(O, channels, *kernel)` in the type of the weights. With `copies` they are equal to the last bit.
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
    """A state dict whose first convolutions are repacked for a network with another number of channels.

    Args:
        state: weights of a network for `known` channels.
        expected: the state dict of the network that is to take them.
        channels: of the images.
        copies: as in `spread`.
        known: channels that the weights were trained on.
    """
    stems = [
        name
        for name, value in expected.items()
        if name in state and value.ndim >= 4 and value.shape == _with_inputs(state[name], known, channels)
    ]
    if channels == known:  # nothing to fit; copies may still change the order (BGR), in the first layer alone
        stems = stems[:1] if copies is not None else []
    return dict(state) | {name: repack(state[name], channels, copies) for name in stems}


def _with_inputs(weight: Tensor, known: int, channels: int) -> tuple[int, ...] | None:
    """Shape of a weight that takes `known` channels, were it for `channels`; None where it takes others."""
    shape = tuple(weight.shape)
    return (shape[0], channels, *shape[2:]) if len(shape) >= 4 and shape[1] == known else None


def set_in_channels(network: nn.Module, channels: int, copies: list[int] | None = None) -> nn.Module:
    """Let any network (an encoder of smp, timm, torchvision) take images of another number of channels.

    The weights of the first convolution, in the order of the modules, are repacked. From YAML it stands around the
    network: `class_path: networks.set_in_channels`, `init_args: {network: {class_path: …Unet, init_args: {in_channels:
    3, …}}, channels: 4, copies: [0, 1, 2, 1]}`.

    Args:
        network: for three channels; changed in place.
        channels: of the images.
        copies: as in `spread`.

    Returns:
        The network.

    Raises:
        ValueError: it has no convolution, or its first one is grouped.
    """
    found = next(((name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)
    if found is None:
        raise ValueError(f"{type(network).__name__} has no convolution whose channels could be set")
    name, old = found
    if old.groups != 1:
        raise ValueError(f"the first convolution of {type(network).__name__}, {name}, has {old.groups} groups, not 1")
    weight = repack(old.weight.data, channels, copies)
    before, old.in_channels = old.in_channels, channels
    old.weight = nn.Parameter(weight, requires_grad=old.weight.requires_grad)
    tell_encoders(network, before, channels)
    return network
