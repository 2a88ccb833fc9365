"""Networks missing from smp, timm, torchvision and MONAI. Set any other network by its own class_path."""

from networks.albunet import AlbuNet
from networks.bn_inception import BnInception
from networks.c3d import C3D
from networks.classifier import ImageClassifier
from networks.cubes import SlidingCubes
from networks.deep_supervision import unstack_deep_supervision
from networks.dilated_unet import DilatedUnet
from networks.emanet import EMANet
from networks.first_layer import set_in_channels
from networks.gapnet import GapNet
from networks.hypercolumn_unet import HypercolumnUnet
from networks.linknet import ConcatLinknet
from networks.norms import to_frozen_batch_norm, to_group_norm
from networks.selim_unet import SelimUnet
from networks.siamese import Siamese
from networks.side_unet import SideUnet
from networks.transposed_unet import TransposedUnet
from networks.vanilla_unet import VanillaUnet

__all__ = [
    "AlbuNet",
    "BnInception",
    "C3D",
    "ConcatLinknet",
    "DilatedUnet",
    "EMANet",
    "GapNet",
    "HypercolumnUnet",
    "ImageClassifier",
    "SelimUnet",
    "Siamese",
    "SideUnet",
    "SlidingCubes",
    "TransposedUnet",
    "VanillaUnet",
    "set_in_channels",
    "to_frozen_batch_norm",
    "to_group_norm",
    "unstack_deep_supervision",
]
