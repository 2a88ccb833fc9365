"""Parts of a network that stay as they are while the rest is trained."""

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


def freeze(network: nn.Module, names: list[str]) -> None:
    """Freeze parts of a network by name: no gradient, and evaluation mode whatever `train()` is called.

    Parameters and buffers of these parts stay as they are to the last bit, so features that were computed once equal
    those of the network in training.

    Args:
        network: changed in place.
        names: modules as `named_modules` has them: `encoder`, `encoder.layer1`. An empty name is the whole network.

    Raises:
        ValueError: no such module, or one without parameters; names what there is.
    """
    known = dict(network.named_modules())
    for name in names:
        if name not in known:
            parent = name.rpartition(".")[0] if name.rpartition(".")[0] in known else ""
            inside = [key for key, _ in known[parent].named_children()]
            raise ValueError(
                f"freeze: {type(network).__name__} has no module {name!r}; {parent or 'it'} has {', '.join(inside)}"
            )
        module = known[name]
        if not any(True for _ in module.parameters()):
            raise ValueError(f"freeze: {name!r} has no parameters, so there is nothing to freeze; leave it out")
        module.requires_grad_(False)
        module.train = StaysInEval(module)
        module.eval()
