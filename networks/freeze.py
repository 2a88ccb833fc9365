"""Freezing parts of a network while the rest is trained."""

from dataclasses import dataclass

from torch import nn


class StaysInEval:
    """Replacement for `train()` of a frozen module: batch norms keep their statistics, dropout stays off.

    Args:
        module: the frozen module.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        return nn.Module.train(self.module, False)


@dataclass
class Frozen:
    """The changes of one call of `freeze`, which can be undone.

    Args:
        parts: modules kept in evaluation mode.
        parameters: parameters whose gradient was switched off.
    """

    parts: list[nn.Module]
    parameters: list[nn.Parameter]

    def undo(self, training: bool) -> None:
        """Unfreeze these parts and set them to `training` mode. Parts frozen before stay frozen."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        for part in self.parts:
            del part.train
            part.train(training)


def freeze(network: nn.Module, names: list[str], but: list[str] | None = None) -> Frozen:
    """Freeze parts of a network by name: no gradients, and evaluation mode even after `train()`.

    Parameters and buffers of these parts stay bit-identical, so features computed once equal those during training.

    Args:
        network: network, changed in place.
        names: names of modules, as in `named_modules`: `encoder`, `encoder.layer1`. An empty name is the whole network.
        but: names of modules inside of them that are trained. Modules without parameters next to these (dropout before
            the head) then stay in training mode.

    Returns:
        The parts that were not frozen before.

    Raises:
        ValueError: there is no such module, or it has no parameters; the message lists the modules.
    """
    kept = [find(network, name) for name in but or []]
    spared = {parameter for module in kept for parameter in module.parameters()}
    frozen = Frozen([], [])
    for name in names:
        module = find(network, name)
        inside = [part for part in kept if part in module.modules()]
        free = spared if inside else set()
        for parameter in module.parameters():
            if parameter.requires_grad and parameter not in free:
                frozen.parameters.append(parameter.requires_grad_(False))
        for part in _around(module, inside):
            if "train" not in vars(part):
                part.train = StaysInEval(part)
                frozen.parts.append(part)
            part.eval()
    return frozen


def freeze_except(network: nn.Module, names: list[str]) -> Frozen:
    """Freeze everything but these parts, for example to tune the last layer of a trained network.

    Args:
        network: network, changed in place.
        names: names of modules to train, as in `named_modules`: `head`, `segmentation_head`.

    Returns:
        The parts that were not frozen before.

    Raises:
        ValueError: there is no such module, it has no parameters or is the whole network, or `names` is empty.
    """
    if not names or "" in names:
        raise ValueError(
            f"train_only is {names}, expected names of the modules to train; remove it to train everything"
        )
    return freeze(network, [""], but=names)


def find(network: nn.Module, name: str) -> nn.Module:
    """The module of this name; an empty name is the whole network.

    Raises:
        ValueError: there is no such module, or it has no parameters; the message lists the modules.
    """
    known = dict(network.named_modules())
    if name not in known:
        parent = name.rpartition(".")[0] if name.rpartition(".")[0] in known else ""
        inside = [key for key, _ in known[parent].named_children()]
        raise ValueError(
            f"freeze: {type(network).__name__} has no module {name!r}; {parent or 'it'} has {', '.join(inside)}"
        )
    if not any(True for _ in known[name].parameters()):
        raise ValueError(f"freeze: {name!r} has no parameters, so there is nothing to freeze; remove it")
    return known[name]


def _around(module: nn.Module, kept: list[nn.Module]) -> list[nn.Module]:
    """The largest modules with parameters in this one (or itself) that contain none of the kept ones."""
    if module in kept or not any(True for _ in module.parameters()):
        return []
    if not any(part in kept for part in module.modules()):
        return [module]
    return [part for child in module.children() for part in _around(child, kept)]
