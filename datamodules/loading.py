"""The arguments of a datamodule used only in training and prediction."""

from typing import TYPE_CHECKING, Literal

from datamodules.samplers.order import Order
from datamodules.windows import Windows

if TYPE_CHECKING:  # the parser imports these when a config names a transform, so --help stays fast
    from albumentations import BaseCompose, BasicTransform
    from torch import nn

    from augmentations.base import Augmentation


class Loading:
    """How rows are sampled, cropped, augmented and batched.

    A separate class, so that these arguments are known without torch (`datamodules.plain.offline_class`).

    Args:
        windows: windows from which training samples are cropped, for images too large to be read whole; files are not
            changed (default: whole images).
        augmentation: training augmentations, in order, applied in the loader's workers: transforms of albumentations,
            of `torchvision.transforms.v2`, or ours (`augmentations.Geometry`, `Colour`, `TimmPolicy`, …). Their output
            must have one size: end with a crop.
        sampler: sampler of an epoch (`datamodules.samplers`; default: every image in random order).
        batch_size: training samples per batch and rank.
        eval_batch_size: images per evaluation batch; images of different sizes are predicted one by one.
        num_workers: number of loader processes; `auto` is one per CPU of this process up to 8, 0 with a single CPU.
        samples_per_image: training samples drawn from each image per epoch; more than 1 if images are few or large.
        cache: cache of decoded images and targets, filled in parallel before training: `ram` in memory, `disk` in
            memory-mapped files shared by all ranks and later runs; `none` decodes every time. With one mask file per
            object, decoding takes longer than training.
        cache_dir: folder of `cache: disk`; it may be deleted at any time.
        check_files: whether to check all training and validation files before `fit` and report all problems together.
            Takes as long as reading the targets and the header of each image; a filled cache makes it unnecessary.
            Images with mixed bit depths or channel numbers are rejected, also before `predict`.
        seed: seed of the order and augmentation of training samples.
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
