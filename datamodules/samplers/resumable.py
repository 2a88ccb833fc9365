"""The base class of training samplers: an epoch that can be continued in its middle."""

from abc import abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from torch.utils.data import Sampler

Drawn = TypeVar("Drawn", covariant=True)


class ResumableSampler(Sampler[Drawn]):
    """Draws that depend on the epoch alone, so that a resumed run can leave out those of before."""

    def __init__(self) -> None:
        self.epoch = 0
        self._left_out = (0, 0)  # an epoch, and the number of its draws

    @abstractmethod
    def draws(self) -> Iterator[Drawn]:
        """Return all draws of this rank in the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; called by Lightning before each epoch."""
        self.epoch = epoch

    def leave_out(self, epoch: int, number: int) -> None:
        """Leave out the first draws of an epoch, trained on before a resume; the length stays that of whole epochs."""
        self._left_out = (epoch, number)

    def __iter__(self) -> Iterator[Drawn]:
        epoch, number = self._left_out
        return islice(self.draws(), number if epoch == self.epoch else 0, None)
