"""Gradient checkpointing for networks that support it."""

from torch import nn


def checkpoint_activations(network: nn.Module) -> None:
    """Recompute the activations of encoders in the backward pass instead of storing them.

    Args:
        network: network, changed in place: the outermost modules with timm's `set_grad_checkpointing`.

    Raises:
        ValueError: no part of the network supports it.
    """
    able: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        inside = any(other == "" or name.startswith(f"{other}.") for other in able)
        if callable(getattr(module, "set_grad_checkpointing", None)) and not inside:
            able[name] = module
    if not able:
        raise ValueError(
            f"model.gradient_checkpointing: {type(network).__name__} has no part with set_grad_checkpointing; use an "
            "encoder of timm: networks.ImageClassifier, or smp with encoder_name: tu-resnet34 instead of resnet34"
        )
    for module in able.values():
        module.set_grad_checkpointing(True)
