"""Loss formulas, forward and backward, against smp's losses; memory that waits for the backward pass."""

import weakref

import segmentation_models_pytorch as smp
import torch

from benchmarks.measure import Report, compare
from losses import LossFormula

SHAPE = (8, 1, 512, 512)


def saved_bytes(loss: callable, logits: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, beside the logits themselves."""
    kept = weakref.WeakSet()

    class Held:
        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor
            kept.add(self)

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        value = loss()
        storages = [held.tensor.untyped_storage() for held in kept]
    own = logits.untyped_storage().data_ptr()
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages if storage.data_ptr() != own}
    del value
    return sum(sizes.values())


def main() -> None:
    report = Report("losses", ["torch", "segmentation-models-pytorch"])
    torch.manual_seed(0)
    logits = torch.randn(SHAPE, requires_grad=True)
    target = (torch.rand(SHAPE) > 0.7).to(torch.uint8)
    floats = target.float()
    bce = smp.losses.SoftBCEWithLogitsLoss()
    dice = smp.losses.DiceLoss("binary", from_logits=True)
    focal = smp.losses.FocalLoss("binary", gamma=2.0)
    lovasz = smp.losses.LovaszLoss("binary", per_image=False, from_logits=True)
    mix, ours_lovasz = LossFormula("bce + dice + focal(gamma=2)"), LossFormula("lovasz")
    compiled = LossFormula("bce + dice + focal(gamma=2)")
    compiled.compile()

    def timed(loss: callable) -> callable:
        def call() -> None:
            logits.grad = None
            loss().backward()

        return call

    losses = {
        "bce + dice + focal": {
            "smp": lambda: bce(logits, floats) + dice(logits, target) + focal(logits, target),
            "ours": lambda: mix(logits, target)[0],
            "ours, compiled": lambda: compiled(logits, target)[0],
        },
        "Lovasz hinge": {"smp": lambda: lovasz(logits, target), "ours": lambda: ours_lovasz(logits, target)[0]},
    }
    memory = []
    for work, variants in losses.items():
        timings = compare({name: timed(loss) for name, loss in variants.items()}, "smp")
        report.add(f"{work}, {SHAPE}, forward and backward", timings)
        for name, loss in variants.items():
            memory.append(f"| {work} | {name} | {saved_bytes(loss, logits) / logits.numel():.1f} |")
    for line in (
        "",
        "| loss | variant | bytes a pixel kept for the backward pass, beside the logits |",
        "|---|---|---|",
    ):
        report.line(line)
    for line in memory:
        report.line(line)
    report.save()


if __name__ == "__main__":
    main()
