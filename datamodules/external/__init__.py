"""External data sets for `data.external`, used for training and never for validation."""

from datamodules.external.base import ExternalData
from datamodules.external.hpa_v18 import HpaV18
from datamodules.external.idrid import Idrid
from datamodules.external.lidc import Lidc
from datamodules.external.luna16 import Luna16
from datamodules.external.photos import LicencedPhotos
from datamodules.external.pseudo import PseudoLabels, SoftLabels

__all__ = ["ExternalData", "HpaV18", "Idrid", "LicencedPhotos", "Lidc", "Luna16", "PseudoLabels", "SoftLabels"]
