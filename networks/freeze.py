"""Parts of a network that stay as they are while the rest is trained."""

from dataclasses import dataclass

from torch import nn


class StaysInEval:
    """What `train()` of a frozen module becomes: its batch norms keep their statistics, its dropout stays off.

    Args:
        module: the frozen module.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, mode: bool = True) -> nn.Module:
        return nn.Module.train(self.module, False)


@dataclass
class Frozen:
    """What one call of `freeze` has changed, so that it can be undone.

    Args:
        parts: modules that stay in evaluation mode.
        parameters: parameters that got no gradient any more.
    """

    parts: list[nn.Module]
    parameters: list[nn.Parameter]

    def undo(self, training: bool) -> None:
        """Train these parts again; `training` is the mode they take. What was frozen before stays frozen."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        for part in self.parts:
            del part.train
            part.train(training)


def freeze(network: nn.Module, names: list[str], but: list[str] | None = None) -> Frozen:
    """Freeze parts of a network by name: no gradient, and evaluation mode whatever `train()` is called.

    Parameters and buffers of these parts stay as they are to the last bit, so features that were computed once equal
    those of the network in training.

    Args:
        network: changed in place.
        names: modules as `named_modules` has them: `encoder`, `encoder.layer1`. An empty name is the whole network.
        but: modules inside of them that are trained all the same. Then modules without parameters that stand by
            themselves beside those (dropout before the head) go on as in training.

    Returns:
        What was not frozen before.

    Raises:
        ValueError: no such module, or one without parameters; names what there is.
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
    """Freeze everything but these parts: to tune the last layer of a trained network.

    Args:
        network: changed in place.
        names: modules that are trained, as `named_modules` has them: `head`, `segmentation_head`.

    Returns:
        What was not frozen before.

    Raises:
        ValueError: no such module, or one without parameters (names what there is); no name, or the whole network.
    """
    if not names or "" in names:
        raise ValueError("freeze: all but what? name the parts that are trained; to train everything leave it out")
    return freeze(network, [""], but=names)


def find(network: nn.Module, name: str) -> nn.Module:
    """The module of this name, which has parameters; an empty name is the whole network.

    Raises:
        ValueError: no such module, or one without parameters; names what there is.
    """
    known = dict(network.named_modules())
    if name not in known:
        parent = name.rpartition(".")[0] if name.rpartition(".")[0] in known else ""
        inside = [key for key, _ in known[parent].named_children()]
        raise ValueError(
            f"freeze: {type(network).__name__} has no module {name!r}; {parent or 'it'} has {', '.join(inside)}"
        )
    if not any(True for _ in known[name].parameters()):
        raise ValueError(f"freeze: {name!r} has no parameters, so there is nothing to freeze; leave it out")
    return known[name]


def _around(module: nn.Module, kept: list[nn.Module]) -> list[nn.Module]:
    """The largest modules with parameters inside of this one (or itself) that hold none of the kept ones."""
    if module in kept or not any(True for _ in module.parameters()):
        return []
    if not any(part in kept for part in module.modules()):
        return [module]
    return [part for child in module.children() for part in _around(child, kept)]
