"""Losses, forward and backward, against their library twins; memory that waits for the backward pass."""

import weakref
from collections.abc import Callable

import kornia.losses
import monai.losses
import segmentation_models_pytorch as smp
import torch
from pytorch_metric_learning import distances, losses, miners, reducers

from benchmarks.measure import Report, compare
from losses import LossFormula

SHAPE = (8, 1, 512, 512)
Loss = Callable[[], torch.Tensor]


def saved_bytes(loss: Loss, given: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, beside what was given to the loss."""
    kept = weakref.WeakSet()

    class Held:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor
            kept.add(self)

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        value = loss()
        storages = [held.tensor.untyped_storage() for held in kept]
    own = given.untyped_storage().data_ptr()
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages if storage.data_ptr() != own}
    del value
    return sum(sizes.values())


def pixels(logits: torch.Tensor) -> dict[str, dict[str, Loss]]:
    """Losses between logits and a mask, by work and variant."""
    target = (torch.rand(SHAPE) > 0.7).to(torch.uint8)
    floats = target.float()

    def ours(text: str, compiled: bool = False) -> Loss:
        formula = LossFormula(text)
        if compiled:
            formula.compile()
        return lambda: formula(logits, target)[0]

    bce = smp.losses.SoftBCEWithLogitsLoss()
    dice = smp.losses.DiceLoss("binary", from_logits=True)
    focal = smp.losses.FocalLoss("binary", gamma=2.0)
    jaccard = smp.losses.JaccardLoss("binary", from_logits=True)
    tversky = smp.losses.TverskyLoss("binary", alpha=0.3, beta=0.7, gamma=0.75)
    lovasz = smp.losses.LovaszLoss("binary", per_image=False, from_logits=True)
    mix = "bce + dice + focal(gamma=2)"
    monai_dice = monai.losses.DiceLoss(sigmoid=True, batch=True)
    monai_focal = monai.losses.DiceFocalLoss(sigmoid=True, batch=True)
    monai_tversky = monai.losses.TverskyLoss(sigmoid=True, batch=True, alpha=0.3, beta=0.7)
    kornia_focal = kornia.losses.BinaryFocalLossWithLogits(alpha=None, gamma=2.0, reduction="mean")
    names = floats[:, 0].long()
    return {
        "bce + dice + focal": {
            "smp": lambda: bce(logits, floats) + dice(logits, target) + focal(logits, target),
            "ours": ours(mix),
            "ours, compiled": ours(mix, compiled=True),
        },
        "dice": {
            "smp": lambda: dice(logits, target),
            "MONAI": lambda: monai_dice(logits, floats),
            "ours": ours("dice"),
        },
        "dice + focal": {"MONAI": lambda: monai_focal(logits, floats), "ours": ours("dice + focal(gamma=2)")},
        "focal": {
            "smp": lambda: focal(logits, target),
            "kornia": lambda: kornia_focal(logits, floats),
            "ours": ours("focal(gamma=2)"),
        },
        "jaccard": {"smp": lambda: jaccard(logits, target), "ours": ours("jaccard")},
        "focal tversky": {
            "smp": lambda: tversky(logits, target),
            "MONAI, not focal": lambda: monai_tversky(logits, floats),
            "ours": ours("tversky(alpha=0.3, beta=0.7, gamma=0.75)"),
        },
        "Lovasz hinge": {
            "smp": lambda: lovasz(logits, target),
            "kornia": lambda: kornia.losses.lovasz_hinge_loss(logits, names),
            "ours": ours("lovasz"),
        },
        "binary cross-entropy": {"smp": lambda: bce(logits, floats), "ours": ours("bce")},
    }


def embeddings(features: torch.Tensor) -> dict[str, dict[str, Loss]]:
    """Losses between 256 embeddings of 512 numbers and 1000 classes, four of each class drawn."""
    labels = torch.randperm(1000)[:64].repeat_interleave(4)
    theirs = losses.ArcFaceLoss(1000, 512, margin=28.6, scale=30)
    plain = distances.LpDistance(normalize_embeddings=False)
    triplet = losses.TripletMarginLoss(margin=0.3, distance=plain, reducer=reducers.MeanReducer())
    hardest = miners.BatchHardMiner(distance=plain)
    npairs = losses.NPairsLoss()

    def ours(text: str) -> Loss:
        formula = LossFormula(text)
        return lambda: formula({"embedding": features}, {"label": labels})[0]

    return {
        "ArcFace": {
            "metric-learning": lambda: theirs(features, labels),
            "ours": ours("arcface(embedding, label, classes=1000, embedding_dim=512)"),
        },
        "batch-hard triplets": {
            "metric-learning": lambda: triplet(features, labels, hardest(features, labels)),
            "ours": ours("triplet(embedding, label, margin=0.3)"),
        },
        "N-pairs": {"metric-learning": lambda: npairs(features, labels), "ours": ours("npairs(embedding, label)")},
    }


def main() -> None:
    packages = ["torch", "segmentation-models-pytorch", "monai", "kornia", "pytorch-metric-learning"]
    report = Report("losses", packages)
    torch.manual_seed(0)
    logits, features = torch.randn(SHAPE, requires_grad=True), torch.randn(256, 512, requires_grad=True)

    def timed(loss: Loss, given: torch.Tensor) -> Callable[[], None]:
        def call() -> None:
            given.grad = None
            loss().backward()

        return call

    memory = []
    for given, what, found in ((logits, "pixel", pixels(logits)), (features, "number", embeddings(features))):
        for work, variants in found.items():
            timings = compare({name: timed(loss, given) for name, loss in variants.items()}, next(iter(variants)))
            report.add(f"{work}, {tuple(given.shape)}", timings)
            for name, loss in variants.items():
                memory.append(f"| {work} | {name} | {saved_bytes(loss, given) / given.numel():.1f} a {what} |")
    for line in (
        "",
        "| loss | variant | bytes kept for the backward pass, beside logits or embeddings |",
        "|---|---|---|",
        *memory,
    ):
        report.line(line)
    report.save()


if __name__ == "__main__":
    main()
