"""What a network's own errors mean for a config."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from compat.torch import needs_more_values


@contextmanager
def explained(network: nn.Module, inputs: Sequence[Tensor]) -> Iterator[None]:
    """Around the call of a network with its inputs, the image first.

    Raises:
        ValueError: in place of torch's words for a batch of one that batch norm cannot take, and for another number of
            channels than the network's first convolution has; says what to set.
    """
    try:
        yield
    except ValueError as error:
        if not needs_more_values(error):
            raise
        raise ValueError(
            f"a batch norm of the network sees a single value per channel in a batch of {len(inputs[0])}: set "
            "data.batch_size to 2 or more, or put networks.to_group_norm or networks.to_frozen_batch_norm around "
            "the network"
        ) from error
    except RuntimeError as error:
        first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
        if first is None or inputs[0].dim() != 4 or first.in_channels == inputs[0].shape[1]:
            raise
        raise ValueError(
            f"the network takes {first.in_channels} channels, the images have {inputs[0].shape[1]}; set in_channels"
            " of model.network (its pretrained weights are then adapted), or channels of data.reader"
        ) from error
