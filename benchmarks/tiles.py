"""Tiled inference against MONAI's sliding window, and test-time augmentation against its bare forwards.

`ours, streamed` goes through the picture as `predict` does above `stream_above`: strip by strip, results to a file.

Needs MONAI: pip install -e ".[bench]".
"""

import tempfile

import segmentation_models_pytorch as smp
import torch

from benchmarks.measure import Report, compare
from inference import Inference

SIDE, TILE, OVERLAP = 3000, 512, 0.25


def network(channels_last: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    module = smp.Unet(
        "tu-tf_mobilenetv3_small_minimal_100", encoder_weights=None, decoder_channels=(64, 48, 32, 16, 8), classes=1
    ).eval()
    return module.to(memory_format=torch.channels_last) if channels_last else module


@torch.inference_mode()
def main() -> None:
    from monai.inferers import sliding_window_inference

    report = Report("tiles", ["torch", "monai", "segmentation-models-pytorch"])
    image = torch.rand(1, 3, SIDE, SIDE)
    plain, fast = network(False), network(True)
    image_last = image.contiguous(memory_format=torch.channels_last)
    ours = Inference(TILE, OVERLAP)

    def forward(tile: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mask": fast(tile.contiguous(memory_format=torch.channels_last)).sigmoid()}

    def half(tile: torch.Tensor) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return {"mask": fast(tile.contiguous(memory_format=torch.channels_last)).float().sigmoid()}

    tiles = [
        image_last[..., 100:612, left : left + TILE].contiguous(memory_format=torch.channels_last) for left in range(8)
    ]
    count = 64

    def bare(call: callable) -> None:
        for number in range(count):
            call(tiles[number % 8])

    def streamed() -> None:
        with tempfile.TemporaryFile() as file:
            ours.stream(
                *(forward, (SIDE, SIDE), lambda first, last: image_last[0, :, first:last], lambda window: window),
                lambda name, rows: file.write(rows.contiguous().numpy()),
            )

    variants = {
        "MONAI": lambda: sliding_window_inference(
            image, TILE, 4, lambda x: plain(x).sigmoid(), OVERLAP, mode="gaussian"
        ),
        "64 bare forwards": lambda: bare(forward),
        "ours": lambda: ours(forward, image_last),
        "ours, streamed": streamed,
        "64 bare forwards, bf16": lambda: bare(half),
        "ours, bf16": lambda: ours(half, image_last),
    }
    calls = []
    ours(lambda tile: calls.append(1) or {"mask": tile[:, :1]}, image)
    assert len(calls) == count, len(calls)
    one, other = ours(forward, image_last)["mask"] > 0.5, ours(half, image_last)["mask"] > 0.5
    timings = compare(variants, "MONAI", rounds=5)
    report.add(f"{SIDE} x {SIDE}, tile {TILE}, overlap {OVERLAP}, 64 tiles", timings)
    for suffix in ("", ", bf16"):
        own, alone = timings[f"ours{suffix}"], timings[f"64 bare forwards{suffix}"]
        report.line(f"\nTiling costs {100 * (own.cpu / alone.cpu - 1):.1f} % CPU over its forwards{suffix}.")
    report.line(f"\nMask pixels that bf16 decides otherwise: {100 * (one != other).double().mean():.3f} %.\n")

    tile = torch.rand(4, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    views = Inference(tta="d4")

    def eight() -> None:
        for _ in range(8):
            forward(tile)

    timings = compare({"8 bare forwards": eight, "ours, d4": lambda: views(forward, tile)}, "8 bare forwards", rounds=9)
    report.line("| work | variant | wall ms | CPU ms | faster (wall) | faster (CPU) |\n|---|---|---|---|---|---|")
    report.add("TTA of (4, 3, 256, 256)", timings)
    report.save()


if __name__ == "__main__":
    main()
