"""Gradient checkpointing where the library has it."""

from torch import nn


def checkpoint_activations(network: nn.Module) -> None:
    """Compute the activations inside of encoders again in the backward pass instead of keeping them.

    Args:
        network: changed in place: the outermost modules with timm's `set_grad_checkpointing` are told to.

    Raises:
        ValueError: no part of the network can do so.
    """
    able: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        inside = any(other == "" or name.startswith(f"{other}.") for other in able)
        if callable(getattr(module, "set_grad_checkpointing", None)) and not inside:
            able[name] = module
    if not able:
        raise ValueError(
            f"model.gradient_checkpointing: {type(network).__name__} has no part with set_grad_checkpointing; encoders "
            "of timm have it: networks.ImageClassifier, or smp with encoder_name: tu-resnet34 in place of resnet34"
        )
    for module in able.values():
        module.set_grad_checkpointing(True)
