"""A network that has seen pictures of one depth refuses another."""

import pytest
import torch
from torch import nn

from lightning_modules import SegmentationModule


def module(**arguments):
    return SegmentationModule(nn.Conv2d(3, 1, 1), ["mask"], "bce", **arguments).eval()


@pytest.mark.parametrize(("first", "second"), [(torch.uint8, torch.uint16), (torch.uint16, torch.uint8)])
def test_the_same_picture_in_another_depth_is_refused(first, second):
    made, image = module(), torch.randint(0, 256, (1, 3, 8, 8))
    made.normalise(image.to(first))
    made.normalise(image.to(first))
    made.normalise(image.float())  # augmented already
    with pytest.raises(
        ValueError, match=rf"images are {str(second)[6:]}, but the network was trained on {str(first)[6:]}"
    ):
        made.normalise(image.to(second))


def test_an_image_that_is_predicted_is_named():
    made, image = module(), torch.zeros(3, 8, 8, dtype=torch.uint8)
    made.predict_all({"image": [image], "image_id": ["a"]}, tta=False)
    with pytest.raises(ValueError, match="^image 'b' is uint16, but the network was trained on uint8"):
        made.predict_all({"image": [image, image.to(torch.uint16)], "image_id": ["a", "b"]}, tta=False)


def test_the_depth_goes_with_the_checkpoint():
    trained, checkpoint, fresh = module(), {}, module()
    trained.normalise(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    trained.on_save_checkpoint(checkpoint)
    fresh.on_load_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="images are uint16, but the network was trained on uint8"):
        fresh.normalise(torch.zeros(1, 3, 8, 8, dtype=torch.uint16))
    other = module()
    other.on_load_checkpoint({})  # written before checkpoints told it
    other.normalise(torch.zeros(1, 3, 8, 8, dtype=torch.uint16))


def test_volumes_are_measures_of_any_type():
    made = SegmentationModule(nn.Conv3d(3, 1, 1), ["mask"], "bce")
    for kind in (torch.uint8, torch.uint16, torch.int16):
        made.normalise(torch.zeros(1, 3, 4, 8, 8, dtype=kind))
