"""The arguments of a datamodule that only training and prediction look at."""

from typing import TYPE_CHECKING, Literal

from datamodules.samplers.order import Order
from datamodules.windows import Windows

if TYPE_CHECKING:  # imported by the parser once a config names a transform; --help need not wait for it
    from albumentations import BaseCompose, BasicTransform
    from torch import nn

    from augmentations.base import Augmentation


class Loading:
    """How rows are drawn, cut, augmented and batched.

    It is a class of its own so that these arguments are known without torch (`datamodules.plain.offline_data`).

    Args:
        windows: which part of an image each training sample is cut from, for images too large to be read whole; files
            are not touched. Whole images unless given.
        augmentation: for training, in order, in the loader's workers: transforms of albumentations and of
            `torchvision.transforms.v2`, and our own (`augmentations.Geometry`, `Colour`, `TimmPolicy`, …). They must
            end in one size: a crop.
        sampler: what an epoch draws, where it is not every image in random order (`datamodules.samplers`).
        batch_size: training samples in a batch, on each rank.
        eval_batch_size: images in an evaluation batch; images of any sizes are predicted one after the other.
        num_workers: loader processes; `auto` is one per CPU of this process up to 8, none on a single CPU.
        samples_per_image: training samples drawn from each image an epoch; above 1 where images are few or large.
        cache: decode every image and its truth once, in parallel, before training: `ram` keeps them in memory, `disk`
            in memory-mapped files that the next run and all ranks share; `none` decodes each time. With a mask file
            per object decoding costs more than training.
        cache_dir: folder of `cache: disk`; it may be deleted at any time.
        check_files: look at every file of training and validation once before `fit`, and tell all that is wrong with
            them at once. It costs what reading the truth costs, and the header of each image; a cache that holds them
            makes it needless. Pictures of several depths or numbers of channels are refused, also before `predict`.
        seed: of the order and augmentation of training samples.
    """

    def __init__(
        self,
        windows: Windows | None = None,
        augmentation: "list[BasicTransform | BaseCompose | nn.Module | Augmentation] | None" = None,
        sampler: Order | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 1,
        num_workers: int | Literal["auto"] = "auto",
        samples_per_image: int = 1,
        cache: Literal["none", "ram", "disk"] = "none",
        cache_dir: str = "cache",
        check_files: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.windows, self.augmentation, self.sampler = windows, augmentation or [], sampler
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.samples_per_image, self.seed = samples_per_image, seed
        self.cache, self.cache_dir, self.check_files = cache, cache_dir, check_files
