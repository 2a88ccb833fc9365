"""Every architecture: parameters, multiply-adds, and time per image beside U-Net/resnet34; writes docs/networks.md.

python -m benchmarks.networks [ID ...]: only these tips, printed and not written.
"""

import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import processor

PAGE = Path(__file__).resolve().parents[1] / "docs" / "networks.md"
PACKAGES = ["torch", "segmentation-models-pytorch", "timm", "monai"]
ROUNDS = 7


class Architecture(NamedTuple):
    """A row: which tip it is, what it is called, and what a config says for it.

    `shape` is that of one image, `(C, *spatial)`. A network with side inputs says how many in its argument `features`;
    a Siamese network takes two images.
    """

    tip: str
    name: str
    class_path: str
    init_args: dict[str, Any]
    shape: tuple[int, ...] = (3, 256, 256)

    def config(self, **more: Any) -> dict[str, Any]:
        """What stands under `model.network`."""
        arguments = self.init_args | more
        keyed = {"init_args": {k: v for k, v in arguments.items() if k != "dict_kwargs"}}
        return {"class_path": self.class_path} | keyed | {k: v for k, v in arguments.items() if k == "dict_kwargs"}

    def inputs(self, images: int, shape: tuple[int, ...] | None = None) -> list[Tensor]:
        """Random inputs: images, and features where the network takes some."""
        found = [torch.randn(images, *(shape or self.shape))]
        if self.class_path == "networks.SideUnet":
            found.append(torch.randn(images, self.init_args["features"]))
        return 2 * found if self.class_path == "networks.Siamese" else found


def smp(encoder: str, **more: Any) -> dict[str, Any]:
    """Arguments of a network of smp, or of ours over one of its encoders."""
    return {"encoder_name": encoder, "encoder_weights": None, **more}


SMP = "segmentation_models_pytorch"
MONAI = "monai.networks.nets"
ANISOTROPIC = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 1,
    "kernel_size": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]],
    "upsample_kernel_size": [[1, 2, 2], [2, 2, 2], [2, 2, 2]],
    "deep_supervision": True,
    "deep_supr_num": 2,
}
BASELINE = Architecture("M24", "U-Net", f"{SMP}.Unet", smp("resnet34"))
VOLUME = (1, 32, 64, 64)
SEGMENTATION = [
    BASELINE,
    Architecture(
        "M01",
        "3-D U-Net",
        f"{MONAI}.UNet",
        {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 1,
            "channels": [16, 32, 64, 128, 256],
            "strides": [2, 2, 2, 2],
            "num_res_units": 2,
        },
        VOLUME,
    ),
    Architecture(
        "M01",
        "DynUNet, anisotropic, deep supervision",
        "networks.unstack_deep_supervision",
        {"network": {"class_path": f"{MONAI}.DynUNet", "init_args": ANISOTROPIC}},
        VOLUME,
    ),
    Architecture(
        "M01",
        "SegResNet",
        f"{MONAI}.SegResNet",
        {"spatial_dims": 3, "in_channels": 1, "out_channels": 1, "init_filters": 16},
        VOLUME,
    ),
    Architecture("M07", "U-Net, stacked dilated convolutions", "networks.DilatedUnet", smp("resnet34")),
    Architecture("M09, M40", "LinkNet, joined skips", "networks.ConcatLinknet", smp("resnet34")),
    Architecture("M15", "U-Net, transposed convolutions", "networks.TransposedUnet", smp("resnet34")),
    Architecture("M16", "U-Net, VGG16", f"{SMP}.Unet", smp("vgg16_bn")),
    Architecture("M18", "U-Net, VGG11 (TernausNet)", f"{SMP}.Unet", smp("vgg11")),
    Architecture("M19", "LinkNet", f"{SMP}.Linknet", smp("resnet34")),
    Architecture("M23", "U-Net, SE-ResNeXt50", f"{SMP}.Unet", smp("se_resnext50_32x4d")),
    Architecture("M24", "DeepLabV3, stride 8", f"{SMP}.DeepLabV3", smp("resnet34", encoder_output_stride=8)),
    Architecture("M24", "DeepLabV3+", f"{SMP}.DeepLabV3Plus", smp("resnet34", encoder_output_stride=16)),
    Architecture("M29", "U-Net, EfficientNet-B4", f"{SMP}.Unet", smp("efficientnet-b4")),
    Architecture("M30", "U-Net, ResNet101", f"{SMP}.Unet", smp("resnet101")),
    Architecture("M36", "AlbuNet34", "networks.AlbuNet", smp("resnet34")),
    Architecture(
        "M37",
        "U-Net with side inputs (cannab)",
        "networks.SideUnet",
        smp(
            "se_resnext50_32x4d",
            features=30,
            in_channels=9,
            classes=3,
            labels=1,
            everywhere=True,
            decoder_channels=[512, 256, 128, 96, 64],
            decoder_attention_type="scse",
        ),
        (9, 256, 256),
    ),
    Architecture("M38", "U-Net of selim_sef", "networks.SelimUnet", smp("resnet50")),
    Architecture(
        "M39", "SCSE-U-Net, SE-ResNeXt50", f"{SMP}.Unet", smp("se_resnext50_32x4d", decoder_attention_type="scse")
    ),
    Architecture("M41", "FPN, ResNet50-D", f"{SMP}.FPN", smp("tu-resnet50d")),
    Architecture("M42", "FPN, ResNet101-D", f"{SMP}.FPN", smp("tu-resnet101d")),
    Architecture("M44", "PAN, dilated ResNet34", f"{SMP}.PAN", smp("resnet34", decoder_channels=64)),
    Architecture("M45", "PAN, ResNet50", f"{SMP}.PAN", smp("resnet50", decoder_channels=64, encoder_output_stride=32)),
    Architecture("M46", "EMANet, ResNet101, GAU", "networks.EMANet", smp("resnet101")),
    Architecture(
        "M46", "EMANet of the paper", "networks.EMANet", smp("resnet101", output_stride=8, decoder="plain", classes=21)
    ),
    Architecture("T17", "U-Net of the paper, batch norm", "networks.VanillaUnet", {}),
    Architecture("", "U-Net, hypercolumns", "networks.HypercolumnUnet", smp("resnet34", deep_supervision=True)),
    Architecture(
        "",
        "DPT, ViT-S/16",
        f"{SMP}.DPT",
        smp("tu-vit_small_patch16_224", dict_kwargs={"dynamic_img_size": True}),
    ),
]
SQUARE = (3, 224, 224)


def classifier(tip: str, name: str, encoder: str, **more: Any) -> Architecture:
    """A row of `networks.ImageClassifier`."""
    return Architecture(tip, name, "networks.ImageClassifier", {"encoder": encoder, "classes": 28, **more}, SQUARE)


BRANCH = {"encoder": "resnet34", "classes": 0, "pooling": "max"}
CLASSIFICATION = [
    classifier("M03", "Inception-ResNet v2", "inception_resnet_v2"),
    Architecture(
        "M04",
        "Siamese, ResNet34",
        "networks.Siamese",
        {"branch": {"class_path": "networks.ImageClassifier", "init_args": BRANCH}},
        SQUARE,
    ),
    classifier("M05", "Xception", "legacy_xception"),
    classifier("M06", "global max pooling", "resnet34", pooling="max"),
    classifier("M10", "generalised-mean pooling", "resnet34", pooling="gem"),
    classifier("M11, M28", "NASNet-A-Large", "nasnetalarge"),
    classifier("M13, M27", "ResNet152", "resnet152"),
    classifier("M14", "three fully connected layers", "resnet34", head=[1024, 512], dropout=0.5),
    classifier("M16", "VGG16", "vgg16_bn"),
    Architecture("M17", "C3D, bottleneck of 64", "networks.C3D", {}, (1, 32, 32, 32)),
    Architecture("M21", "BN-Inception", "networks.BnInception", {"classes": 28}, SQUARE),
    classifier("M23", "SE-ResNeXt50", "legacy_seresnext50_32x4d"),
    classifier("M26", "SENet154", "legacy_senet154"),
    classifier("M29", "EfficientNet-B4", "tf_efficientnet_b4"),
    classifier("M30", "ResNet101", "resnet101"),
    Architecture("M31", "GAPNet (HPA)", "networks.GapNet", {"classes": 28}, SQUARE),
    classifier("M32", "PNASNet-5-Large", "pnasnet5large"),
    classifier("M33", "DenseNet121", "densenet121"),
]
ARCHITECTURES = [*SEGMENTATION, *CLASSIFICATION]


def build(config: dict[str, Any]) -> nn.Module:
    """The network of a config, as the command line builds it."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--network", type=nn.Module)
    return parser.instantiate(parser.parse_object({"network": config})).network


def line(config: dict[str, Any]) -> str:
    """A config as one line of YAML; what is None is left out."""

    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shown(entry) for key, entry in value.items() if entry is not None and entry != {}}
        return value

    return yaml.safe_dump(shown(config), default_flow_style=True, sort_keys=False, width=10_000).strip()


def multiply_adds(network: nn.Module, inputs: list[Tensor]) -> float:
    """Billions of multiply-adds of one forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return counter.get_total_flops() / 2 / 1e9


def ratio(network: nn.Module, inputs: list[Tensor], peer: nn.Module, peer_inputs: list[Tensor]) -> float:
    """Processor time of one forward pass over that of the peer: median of rounds in which the two take turns."""

    def seconds(module: nn.Module, given: list[Tensor]) -> float:
        start = time.process_time()
        module(*given)
        return time.process_time() - start

    with torch.inference_mode():
        for module, given in ((network, inputs), (peer, peer_inputs)):
            module(*given)
        return statistics.median(seconds(network, inputs) / seconds(peer, peer_inputs) for _ in range(ROUNDS))


def main() -> None:
    wanted = sys.argv[1:]
    torch.manual_seed(0)
    peer, peer_inputs = build(BASELINE.config()).eval(), BASELINE.inputs(1)
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    lines = [
        "# Networks",
        "",
        "All architectures of the article that a config can use, and a few others. Time: forward pass of one image, as",
        "a multiple of U-Net/resnet34 at 3 × 256 × 256 in the same process (CPU time, median of "
        f"{ROUNDS} rounds); random weights.",
        f"Python {platform.python_version()}, {versions}; {processor()}, {torch.get_num_threads()} thread(s).",
        "Written by `python -m benchmarks.networks`.",
        "",
        "| tip | architecture | image | parameters (M) | multiply-adds (G) | time | `model.network` |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for row in ARCHITECTURES:
        if wanted and not set(wanted) & set(row.tip.split(", ")):
            continue
        network, inputs = build(row.config()).eval(), row.inputs(1)
        parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        size = " × ".join(str(side) for side in row.shape)
        figures = f"{parameters:.2f} | {multiply_adds(network, inputs):.1f}"
        figures += f" | {ratio(network, inputs, peer, peer_inputs):.2f}"
        lines.append(f"| {row.tip} | {row.name} | {size} | {figures} | `{line(row.config())}` |")
        print(lines[-1], flush=True)
        del network
    if not wanted:
        PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    main()
