"""Errors of networks, explained in terms of the config."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from compat.torch import needs_more_values


@contextmanager
def explained(network: nn.Module, inputs: Sequence[Tensor]) -> Iterator[None]:
    """Context of a network's call with its inputs, the image first, that explains errors.

    Raises:
        ValueError: batch norm fails on a batch of one image, or the images and the network's first convolution have
            different numbers of channels; the message says what to set.
    """
    try:
        yield
    except ValueError as error:
        if not needs_more_values(error):
            raise
        raise ValueError(
            f"a batch norm of the network sees a single value per channel in a batch of {len(inputs[0])}: set "
            "data.batch_size to 2 or more, or wrap the network in networks.to_group_norm or "
            "networks.to_frozen_batch_norm"
        ) from error
    except RuntimeError as error:
        first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
        if first is None or inputs[0].dim() != 4 or first.in_channels == inputs[0].shape[1]:
            raise
        raise ValueError(
            f"the network expects {first.in_channels} channels, but the images have {inputs[0].shape[1]}; set "
            "in_channels of model.network (pretrained weights are adapted), or channels of data.reader"
        ) from error
