"""Elements of a DICOM header, wherever a file keeps them."""

import numpy as np
from pydicom.dataset import Dataset

from preprocessing.hounsfield import window
from tests.datamodules.readers.test_dicom import read, save


def test_enhanced_files_keep_windows_in_sequences(tmp_path, ramp):
    def groups(centre):
        voi, group, outer = Dataset(), Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = centre, 800
        group.FrameVOILUTSequence = [voi]
        outer.groups = [group]
        return group

    frames = np.stack([ramp, ramp])
    path = save(tmp_path / "a.dcm", frames, PerFrameFunctionalGroupsSequence=[groups(0), groups(1000)])
    hu = ramp.astype(np.float32) - 1024
    for number, centre in enumerate((0, 1000)):
        assert (read(path, frame=number)[..., 0] == window(hu, centre, 800, 8, "LINEAR")).all()
