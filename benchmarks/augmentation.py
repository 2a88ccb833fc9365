"""The same family of augmentations by library: batches on the CPU as tensors, and images in a loader's worker."""

import warnings

import albumentations
import cv2
import kornia.augmentation
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from augmentations import Colour, Geometry
from benchmarks.measure import Report, compare

BATCH = 16
GEOMETRY = {"hflip": 0.5, "vflip": 0.5, "affine": 1.0, "rotate": 30.0, "scale": [0.8, 1.2], "translate": 0.1}
COLOUR = {"p": 1.0, "brightness": 0.2, "contrast": 0.2, "noise": [0.02, 0.02], "noise_p": 1.0}


def variants(side: int, elastic: bool) -> tuple[dict[str, callable], dict[str, callable]]:
    """What is timed, by name: 16 byte pictures and masks to a float batch; 16 to byte pictures and masks."""
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), np.uint8)
    masks = (pixels[..., :1] > 127).astype(np.uint8)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    target = torch.from_numpy(masks).permute(0, 3, 1, 2).contiguous()
    random = np.random.default_rng(0)

    geometry, colour = Geometry(**GEOMETRY, elastic=3.0 * elastic, elastic_p=1.0), Colour(**COLOUR)

    def device() -> torch.Tensor:
        batch = geometry.batch({"image": images, "mask": target}, 255.0, random)
        return colour.batch(batch, 255.0, random)["image"] / 255

    def worker() -> None:
        for image, mask in zip(pixels, masks, strict=True):
            image, arrays = geometry.sample(image, {"mask": mask[..., 0]}, 255.0, random)
            colour.sample(image, arrays, 255.0, random)

    steps = [
        kornia.augmentation.RandomHorizontalFlip(p=0.5),
        kornia.augmentation.RandomVerticalFlip(p=0.5),
        kornia.augmentation.RandomAffine(30.0, translate=(0.1, 0.1), scale=(0.8, 1.2), p=1.0),
        *([kornia.augmentation.RandomElasticTransform(p=1.0)] if elastic else []),
        kornia.augmentation.RandomBrightness((0.8, 1.2), p=1.0),
        kornia.augmentation.RandomContrast((0.8, 1.2), p=1.0),
        kornia.augmentation.RandomGaussianNoise(std=0.02, p=1.0),
    ]
    sequence = kornia.augmentation.AugmentationSequential(*steps, data_keys=["input", "mask"])

    def by_kornia() -> torch.Tensor:
        return sequence(images.float() / 255, target.float())[0]

    compose = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.VerticalFlip(p=0.5),
            albumentations.Affine(rotate=(-30, 30), scale=(0.8, 1.2), translate_percent=(-0.1, 0.1), p=1.0),
            *([albumentations.ElasticTransform(alpha=120, sigma=6, p=1.0)] if elastic else []),
            albumentations.RandomBrightnessContrast(p=1.0),
            albumentations.GaussNoise(std_range=(0.02, 0.02), p=1.0),
        ]
    )

    def by_albumentations() -> torch.Tensor:
        pairs = zip(pixels, masks, strict=True)
        found = [torch.from_numpy(compose(image=image, mask=mask)["image"]) for image, mask in pairs]
        return torch.stack(found).permute(0, 3, 1, 2).float() / 255

    def albumentations_worker() -> None:
        for image, mask in zip(pixels, masks, strict=True):
            compose(image=image, mask=mask)

    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomAffine(30, translate=(0.1, 0.1), scale=(0.8, 1.2)),
            *([v2.ElasticTransform(alpha=60.0, sigma=6.0)] if elastic else []),
            v2.ColorJitter(brightness=0.2, contrast=0.2),
            v2.ToDtype(torch.float32, scale=True),
            v2.GaussianNoise(sigma=0.02),
        ]
    )

    def by_torchvision() -> torch.Tensor:
        pairs = zip(images, target, strict=True)
        return torch.stack([transform(tv_tensors.Image(i), tv_tensors.Mask(m))[0] for i, m in pairs])

    batches = {
        "kornia": by_kornia,
        "albumentations": by_albumentations,
        "torchvision v2, per sample": by_torchvision,
        "ours": device,
    }
    return batches, {"albumentations": albumentations_worker, "ours": worker}


def main() -> None:
    warnings.simplefilter("ignore")
    packages = ["torch", "kornia", "albumentations", "torchvision", "opencv-python-headless"]
    report = Report("augmentation", packages)
    torch.manual_seed(0)
    for side in (256, 512):
        for elastic in (False, True):
            batches, images = variants(side, elastic)
            what = f"{side}², flips, affine, {'elastic, ' if elastic else ''}colour, noise"
            report.add(f"batch of {BATCH}, {what}", compare(batches, "kornia", rounds=5))
            cv2.setNumThreads(0)  # as in a loader's worker
            report.add(f"in a worker, {what}", compare(images, "albumentations", rounds=5))
            cv2.setNumThreads(-1)
    report.save()


if __name__ == "__main__":
    main()
