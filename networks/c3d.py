"""The 3-D nodule detector of the Data Science Bowl 2017 (2nd place)."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F


class C3D(nn.Module):
    """C3D (Tran et al. 2015) with the receptive field of a nodule and a bottleneck of 64, as trained by Julian de Wit.

    | layer | output for 32 x 32 x 32 |
    |---|---|
    | average pool 2, 1, 1 | 16 x 32 x 32 |
    | conv 64, max pool 1, 2, 2 | 16 x 16 x 16 |
    | conv 128, max pool 2 | 8 x 8 x 8 |
    | conv 256 twice, max pool 2 | 4 x 4 x 4 |
    | conv 512 twice, max pool 2 | 2 x 2 x 2 |
    | conv 64 of 2 x 2 x 2 without padding: the features | 1 x 1 x 1 |
    | one conv of 1 x 1 x 1 per output | 1 x 1 x 1 |

    His training: `bce(nodule) + l1(malignancy)`, SGD with Nesterov momentum 0.9, learning rate 1e-3 for six epochs and
    1e-4 for six more, batches of 16 cubes at 1 mm per voxel, 20 negatives per nodule. Negatives had a malignancy of 0;
    `l1(malignancy, positives=true)` leaves them out.

    There is no batch norm. Weights are initialised as in his code, Glorot uniform: with He's the features are a hundred
    times as large, because max pooling raises them, and the loss diverges at his learning rate.

    Args:
        in_channels: number of channels of the volume, 1 for CT.
        outputs: number of values of each output, by name; each output has its own convolution over the features.
        bottleneck: number of features.
        dropout: rate of feature maps dropped after pools 2 to 4, in [0, 1); 0 in his code.
    """

    STRIDE = 16  # voxels between neighbouring positions of the output grid
    CUBE = 32  # side of the training cube of one position, in voxels

    def __init__(
        self,
        in_channels: int = 1,
        outputs: dict[str, int] = {"nodule": 1, "malignancy": 1},  # noqa: B006 - never changed; printed in --help
        bottleneck: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not outputs:
            raise ValueError("C3D: outputs is {}, expected at least one, such as {nodule: 1}")
        groups = [([64], (1, 2, 2)), ([128], 2), ([256, 256], 2), ([512, 512], 2)]
        layers: OrderedDict[str, nn.Module] = OrderedDict(shrink=nn.AvgPool3d((2, 1, 1)))
        before = in_channels
        for number, (widths, pool) in enumerate(groups, 1):
            for letter, width in enumerate(widths):
                layers[f"conv{number}{'ab'[letter]}"] = nn.Conv3d(before, width, 3, padding=1)
                layers[f"relu{number}{'ab'[letter]}"] = nn.ReLU(inplace=True)
                before = width
            layers[f"pool{number}"] = nn.MaxPool3d(pool)
            if dropout and number > 1:
                layers[f"drop{number}"] = nn.Dropout3d(dropout)
        self.trunk = nn.Sequential(layers)
        self.bottleneck = nn.Conv3d(before, bottleneck, 2)
        self.heads = nn.ModuleDict({name: nn.Conv3d(bottleneck, count, 1) for name, count in outputs.items()})
        self.num_features = bottleneck
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def grid(self, volume: Tensor) -> Tensor:
        """Features at every position, `(N, 64, D // 16 - 1, H // 16 - 1, W // 16 - 1)`.

        Raises:
            ValueError: a side has fewer than 32 voxels.
        """
        if min(volume.shape[2:]) < self.CUBE:
            raise ValueError(
                f"C3D: the volume has {tuple(volume.shape[2:])} voxels, expected {self.CUBE} or more along each axis; "
                "increase the size of data.windows, or pad"
            )
        return F.relu(self.bottleneck(self.trunk(volume)))

    def features(self, volume: Tensor) -> Tensor:
        """Bottleneck features `(N, 64)`; for volumes larger than a cube their mean over positions."""
        return self.grid(volume).flatten(2).mean(2)

    def forward(self, volume: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Volumes `(N, C, D, H, W)` -> logits of each output.

        Returns:
            A tuple in the order of `outputs` (a tensor if there is one): `(N, K)` for cubes of 32 voxels per side,
            `(N, K, d, h, w)` for larger volumes.
        """
        features = self.grid(volume)
        single = features.shape[2:] == (1, 1, 1)
        found = tuple(head(features).flatten(1) if single else head(features) for head in self.heads.values())
        return found if len(found) > 1 else found[0]
