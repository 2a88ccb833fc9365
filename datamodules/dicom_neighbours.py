"""Neighbouring slices of DICOM files within a stack, never of another phase, echo or scout."""

import itertools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datamodules.readers.dicom_elements import element_of, place_of
from datamodules.readers.dicom_errors import DicomReadError
from preprocessing.series import gaps, on_each_other, orientation_groups, slice_places

if TYPE_CHECKING:
    from pydicom import Dataset

# Each slice may have its own value of these, so they separate stacks only if these stacks overlap. VOLUMES always
# number volumes; KINDS separate volumes only if two slices have the same position.
VOLUMES = ("TemporalPositionIdentifier", "TemporalPositionIndex", "EchoNumbers", "AcquisitionNumber")
VOLUMES += ("FrameAcquisitionNumber",)
KINDS = ("EchoTime", "EffectiveEchoTime", "NominalPercentageOfCardiacPhase", "NominalCardiacTriggerDelayTime")
KINDS += ("TriggerTime", "DiffusionBValue", "InversionTime", "FlipAngle", "ImageType", "FrameType")
KINDS += ("ComplexImageComponent", "ContrastBolusAgent", "ConvolutionKernel", "SliceThickness")
OWNERS = ("PatientID", "StudyInstanceUID", "SeriesNumber")  # of files without SeriesInstanceUID, grouped by folder
STACK_TAGS = (*VOLUMES, *KINDS, *OWNERS, "PixelSpacing", "StackID")


class Slice(NamedTuple):
    """A frame of a file and its position."""

    path: str
    frame: int | None
    series: str
    position: np.ndarray | None  # mm; None if unknown
    orientation: np.ndarray | None
    shared: tuple[str, ...]  # rows, columns, spacing, StackID and OWNERS, equal in all slices of a stack
    kinds: tuple[str, ...]  # VOLUMES and KINDS as text


def slice_of(header: "Dataset", path: str, frame: int, series: str) -> Slice:
    """Return the slice described by a header with `STACK_TAGS`."""
    try:
        position, orientation = place_of(header, path, frame)
    except ValueError:  # most X-rays have no position in space
        position = orientation = None
    spacing = element_of(header, "PixelSpacing", frame) or ()
    spacing = "x".join(f"{float(number):.4g}" for number in spacing)  # 0.70 is 0.7
    shared = (str(header.Rows), str(header.Columns), spacing)
    shared += tuple(str(element_of(header, tag, frame)) for tag in ("StackID", *OWNERS))
    kinds = tuple(str(element_of(header, tag, frame)) for tag in (*VOLUMES, *KINDS))
    return Slice(path, frame, series, position, orientation, shared, kinds)


def neighbours_of(slices: Sequence[Slice], neighbours: int, stride: int) -> list[list[tuple[str, int | None]]]:
    """Return file and frame of the slices around each one, from low to high along the normal, with the ends repeated.

    Neighbours have the same series, size, spacing and direction, and the same phase, time or echo. Warns about series
    with several stacks and stacks with gaps.

    Args:
        slices: slices of any number of series.
        neighbours: number of slices on each side.
        stride: step between neighbours, in slices.

    Raises:
        DicomReadError: if a slice has no position in space, or two slices have the same position and nothing separates
            them.
    """
    series: dict[str, list[int]] = {}
    for index, one in enumerate(slices):
        if one.position is None:
            raise DicomReadError(
                f"{one.path} has no ImagePositionPatient or ImageOrientationPatient, so its neighbours are unknown; "
                "set reader.neighbours: 0",
                one.path,
            )
        series.setdefault(one.series, []).append(index)
    found: list[list[tuple[str, int | None]]] = [[] for _ in slices]
    offsets = np.arange(-neighbours, neighbours + 1) * stride
    several, uneven = [], []
    for name, members in series.items():
        stacks = [stack for same in _alike(slices, members) for stack in _volumes(slices, same)]
        if len(stacks) > 1:
            several.append(f"{name}: {len(stacks)} of {', '.join(str(len(stack)) for stack in stacks)} slices")
        for stack in stacks:
            places = _places(slices, stack)
            order = [stack[at] for at in np.argsort(places, kind="stable")]
            uneven += [f"{slices[order[gap.after]].path}: {gap}" for gap in gaps(np.sort(places))]
            for rank, member in enumerate(order):
                around = (slices[order[at]] for at in np.clip(rank + offsets, 0, len(order) - 1))
                found[member] = [(one.path, one.frame) for one in around]
    _warn(several, f"of {len(series)} series have several stacks (phases, echoes, scouts); neighbours are of the same")
    _warn(uneven, "gaps between slices; neighbours are further apart there")
    return found


def _warn(what: list[str], meaning: str) -> None:
    if what:
        listed = "; ".join(what[:3]) + (" …" if len(what) > 3 else "")
        warnings.warn(f"reader.neighbours: {len(what)} {meaning}: {listed}", stacklevel=4)


def _places(slices: Sequence[Slice], members: Sequence[int]) -> np.ndarray:
    """Return the positions along the normal of slices that share it, mm."""
    return slice_places([slices[member].position for member in members], slices[members[0]].orientation)


def _alike(slices: Sequence[Slice], members: Sequence[int]) -> list[list[int]]:
    """Group the slices of a series by size, spacing, owner and direction."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for member in members:
        groups.setdefault(slices[member].shared, []).append(member)
    found = []
    for same in groups.values():
        numbers = orientation_groups([slices[member].orientation for member in same])
        found += [[same[at] for at in np.flatnonzero(numbers == number)] for number in range(numbers.max() + 1)]
    return found


def _volumes(slices: Sequence[Slice], members: list[int]) -> list[list[int]]:
    """Group slices of one direction by phase, time, echo or any other tag that separates slices of one position."""
    places = _places(slices, members)
    twice = on_each_other(places)
    kinds = np.array([slices[member].kinds for member in members])
    differ = [column for column in range(kinds.shape[1]) if len(set(kinds[:, column])) > 1]
    if twice is None:
        differ = [column for column in differ if column < len(VOLUMES)]
    for count in range(1, min(len(differ), 3) + 1):
        for columns in itertools.combinations(differ, count):
            labels = np.unique(kinds[:, columns], axis=0, return_inverse=True)[1].reshape(-1)
            parts = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
            # As many groups as overlap somewhere: tags that differ between slices or table positions give more, and
            # would split a stack.
            if len(parts) == _depth([places[part] for part in parts]) and all(
                on_each_other(places[part]) is None for part in parts
            ):
                return [[members[at] for at in part] for part in parts]
    if twice is not None:
        one, other = (slices[members[at]] for at in twice)
        raise DicomReadError(
            f"{one.path} (frame {one.frame or 0}) and {other.path} (frame {other.frame or 0}) have the same position "
            f"{one.position.tolist()} in series {one.series}, and no time, echo or acquisition separates them into "
            "volumes, so their neighbours are unknown; remove duplicates, give each volume its own series, or set "
            "reader.neighbours: 0",
            one.path,
            "ImagePositionPatient",
            one.position.tolist(),
        )
    return [members]


def _depth(stacks: list[np.ndarray]) -> int:
    """Return the maximum number of stacks that overlap, each from its lowest to its highest position."""
    lows = np.sort([stack.min() for stack in stacks])
    highs = np.sort([stack.max() for stack in stacks])
    return int((np.arange(1, len(lows) + 1) - np.searchsorted(highs, lows - 1e-3, side="left")).max())
