"""Differential learning rates by the distance of each layer to the head."""

from collections.abc import Iterator

from torch import nn

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
ENCODERS = ("encoder", "backbone")


def layers(module: nn.Module) -> list[list[nn.Parameter]]:
    """Parameters of a module by layer, from the image to the head.

    A timm model defines its layers. For others they follow the order of registration: each block of a container is a
    layer, and a norm belongs to the convolution before it.
    """
    matcher = getattr(module, "group_matcher", None)
    if callable(matcher):
        return _of_timm(module, matcher(coarse=False))
    own = list(module.parameters(recurse=False))
    children = [child for child in module.children() if _parameters(child)]
    if len(children) == 1 and not own:
        return layers(children[0])
    found = [own] if own else []
    for child in children:
        if found and all(parameter.ndim <= 1 for parameter in _parameters(child)):
            found[-1].extend(_parameters(child))
        elif isinstance(child, CONTAINERS):
            found.extend(layers(child))
        else:
            found.append(_parameters(child))
    return found


def encoders(network: nn.Module) -> list[nn.Module]:
    """The outermost modules named `encoder` or `backbone`."""
    return list(_encoders(network))


def rate_scales(
    network: nn.Module, layer_decay: float = 1.0, encoder_lr_factor: float = 1.0
) -> dict[nn.Parameter, float]:
    """Learning rate factor of each parameter.

    Args:
        network: network whose encoder (a module named `encoder` or `backbone`) gets lower rates than the rest, which
            has 1.0; without an encoder, the last layer has 1.0.
        layer_decay: factor γ per layer: γ for the encoder's last layer, γ² for the one before it, … (ULMFiT, BEiT; 0.65
            to 0.8 suit pretrained transformers).
        encoder_lr_factor: additional factor of all layers of the encoder.

    Returns:
        Factor of each parameter.

    Raises:
        ValueError: a factor is outside (0, 1], or `encoder_lr_factor` is set and there is no encoder.
    """
    for name, value in (("layer_decay", layer_decay), ("encoder_lr_factor", encoder_lr_factor)):
        if not 0 < value <= 1:
            raise ValueError(f"model.{name} is {value}, expected a factor in (0, 1]; 1 has no effect")
    if layer_decay == encoder_lr_factor == 1:
        return dict.fromkeys(network.parameters(), 1.0)
    found = encoders(network)
    if not found and encoder_lr_factor != 1:
        inside = ", ".join(name for name, _ in network.named_children())
        raise ValueError(
            f"model.encoder_lr_factor: {type(network).__name__} has no module named {' or '.join(ENCODERS)}, only "
            f"{inside}; use model.layer_decay, which needs only the order of layers"
        )
    scales: dict[nn.Parameter, float] = {}
    for encoder in found:
        for distance, members in enumerate(reversed(layers(encoder)), start=1):
            scales |= dict.fromkeys(members, encoder_lr_factor * layer_decay**distance)
    if not found:
        for distance, members in enumerate(reversed(layers(network))):
            scales |= dict.fromkeys(members, layer_decay**distance)
    return dict.fromkeys(network.parameters(), 1.0) | scales


def _encoders(module: nn.Module) -> Iterator[nn.Module]:
    for name, child in module.named_children():
        if name in ENCODERS:
            yield child
        else:
            yield from _encoders(child)


def _of_timm(module: nn.Module, matcher: dict) -> list[list[nn.Parameter]]:
    from timm.models import group_parameters

    parameters = dict(module.named_parameters())
    numbers = group_parameters(module, matcher, reverse=True)
    found: list[list[nn.Parameter]] = [[] for _ in range(max(numbers.values()) + 1)]
    for name, number in numbers.items():
        found[number].append(parameters[name])
    return found


def _parameters(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters())
