"""MetaImage volumes: `.mha`, and `.mhd` with a `.raw` or `.zraw` file (LUNA16, PROMISE12, BraTS 2013, ISLES 2015).

Follows the documentation of the format (itk.org/Wiki/MetaIO/Documentation); needs only NumPy.
"""

import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from files.writing import write_bytes

TYPES = {
    "MET_CHAR": np.int8,
    "MET_UCHAR": np.uint8,
    "MET_SHORT": np.int16,
    "MET_USHORT": np.uint16,
    "MET_INT": np.int32,
    "MET_UINT": np.uint32,
    "MET_LONG_LONG": np.int64,
    "MET_ULONG_LONG": np.uint64,
    "MET_FLOAT": np.float32,
    "MET_DOUBLE": np.float64,
}
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
LONGEST = 1 << 16  # bytes of a header


class MetaImageHeader(NamedTuple):
    """Header of a MetaImage file.

    Attributes:
        size: `(D, H, W)`.
        affine: `(4, 4)` from (slice, row, column) to RAS millimetres.
        fields: all fields of the header.
        begin: offset of the voxels in a `.mha`, in bytes.
    """

    size: tuple[int, int, int]
    affine: np.ndarray
    fields: dict[str, str]
    begin: int


def read_metaimage_header(path: Path | str) -> MetaImageHeader:
    """Read the header of a MetaImage file, without its voxels.

    Raises:
        ValueError: if the file is not a MetaImage, does not have three axes, or has inconsistent fields; names the
            file.
        FileNotFoundError: if the file does not exist.
    """
    fields: dict[str, str] = {}
    with open(path, "rb") as handle:
        while "ElementDataFile" not in fields:
            line = handle.readline(LONGEST)
            key, equals, value = line.decode("latin-1").partition("=")
            if not equals or handle.tell() > LONGEST:
                raise ValueError(f"{path} is not a MetaImage: no ElementDataFile in its header, found {line[:30]!r}")
            fields[key.strip()] = value.strip()
        begin = handle.tell()
    size = [int(number) for number in _numbers(fields, ("DimSize",), path, _axes(fields, path))]
    if min(size) < 1:
        raise ValueError(f"{path}: DimSize is {fields['DimSize']}, expected numbers above 0")
    spacing = np.array(_numbers(fields, ("ElementSpacing", "ElementSize"), path, 3, [1.0] * 3))
    origin = np.array(_numbers(fields, ("Offset", "Position", "Origin"), path, 3, [0.0] * 3))
    # The first three numbers are the direction of x, and so on.
    turn = np.array(_numbers(fields, ("TransformMatrix", "Rotation", "Orientation"), path, 9, np.eye(3).ravel()))
    directions = turn.reshape(3, 3).T
    if not (spacing > 0).all() or abs(np.linalg.det(directions)) < 1e-6:
        found = f"ElementSpacing {spacing.tolist()} and TransformMatrix {turn.tolist()}"
        raise ValueError(f"{path}: {found} do not span a volume")
    affine = np.eye(4)
    affine[:3, :3] = (LPS_TO_RAS @ (directions * spacing))[:, ::-1]
    affine[:3, 3] = LPS_TO_RAS @ origin
    return MetaImageHeader(tuple(size[::-1]), affine, fields, begin)


def read_metaimage(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Read a MetaImage volume `(D, H, W)` in the file's own type (native byte order), and its affine.

    The affine `(4, 4)` float64 maps (slice, row, column) to world millimetres in RAS (the file uses LPS).

    Raises:
        ValueError: if the header is invalid (`read_metaimage_header`), there are several channels, or the number of
            voxels differs from the header; names the file.
        FileNotFoundError: if the header or its data file does not exist.
    """
    header = read_metaimage_header(path)
    fields = header.fields
    kind = fields.get("ElementType")
    if kind not in TYPES:
        raise ValueError(f"{path}: ElementType is {kind!r}, expected one of {', '.join(TYPES)}")
    if fields.get("ElementNumberOfChannels", "1") != "1":
        raise ValueError(f"{path} has {fields['ElementNumberOfChannels']} channels, expected 1")
    if fields.get("BinaryData", "True").lower() == "false":
        raise ValueError(f"{path}: voxels are stored as text (BinaryData = False), expected binary; save it as binary")
    big = "true" in (fields.get(key, "").lower() for key in ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"))
    dtype = np.dtype(TYPES[kind]).newbyteorder(">" if big else "<")
    content = _content(path, header)
    expected = prod(header.size) * dtype.itemsize
    if fields.get("CompressedData", "False").lower() == "true":
        unpack = zlib.decompressobj()
        try:
            content = unpack.decompress(content, expected + 1)  # never more than the header claims
        except zlib.error as error:
            raise ValueError(f"{path}: compressed voxels are damaged ({error})") from error
    elif fields.get("HeaderSize") == "-1":
        content = content[-expected:]
    if len(content) != expected:
        raise ValueError(
            f"{path} has {len(content)} bytes of voxels{' or more' if len(content) > expected else ''}, expected "
            f"{expected} for {' x '.join(map(str, header.size))} of {kind}; the file is truncated or the header wrong"
        )
    array = np.frombuffer(content, dtype).reshape(header.size)
    return array.astype(dtype.newbyteorder("="), copy=True), header.affine


def data_file(path: Path | str) -> Path:
    """Return the file with the voxels: the header's own, or the one named in the header."""
    path = Path(path)
    name = read_metaimage_header(path).fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return path
    if name.split()[0].upper() == "LIST" or "%" in name:
        raise ValueError(f"{path}: voxels are in several files ({name}), expected one; save it as one file")
    if Path(name).name != name:
        raise ValueError(f"{path}: ElementDataFile is {name!r}, expected the name of a file in the same folder")
    return path.parent / name


def write_metaimage(path: Path | str, array: np.ndarray, affine: np.ndarray, compress: bool = True) -> None:
    """Write a volume atomically as `.mha`, or as `.mhd` with a `.raw` (`.zraw`) file.

    Args:
        path: file ending in `.mha` or `.mhd`.
        array: `(D, H, W)` of one of `TYPES`.
        affine: `(4, 4)` from (slice, row, column) to RAS millimetres.
        compress: compress the voxels with zlib.
    """
    path = Path(path)
    names = {np.dtype(kind): name for name, kind in TYPES.items()}
    if path.suffix not in (".mha", ".mhd") or array.ndim != 3 or array.dtype.newbyteorder("=") not in names:
        raise ValueError(
            f"{path}: array is {array.dtype} {array.shape}, expected .mha or .mhd and (D, H, W) of one of {list(TYPES)}"
        )
    columns = LPS_TO_RAS @ np.asarray(affine, np.float64)[:3, :3][:, ::-1]
    spacing = np.linalg.norm(columns, axis=0)
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    content = zlib.compress(content, 1) if compress else content
    local = path.suffix == ".mha"
    raw = path.with_suffix(".zraw" if compress else ".raw")
    fields: dict[str, Any] = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": compress,
        **({"CompressedDataSize": len(content)} if compress else {}),
        "TransformMatrix": _text((columns / spacing).T.ravel()),
        "Offset": _text(LPS_TO_RAS @ np.asarray(affine, np.float64)[:3, 3]),
        "ElementSpacing": _text(spacing),
        "DimSize": " ".join(str(side) for side in array.shape[::-1]),
        "ElementType": names[array.dtype.newbyteorder("=")],
        "ElementDataFile": "LOCAL" if local else raw.name,
    }
    text = "".join(f"{key} = {value}\n" for key, value in fields.items()).encode()
    if not local:
        write_bytes(raw, content)  # the header last: it makes the volume visible
    write_bytes(path, text + (content if local else b""))


def _content(path: Path | str, header: MetaImageHeader) -> bytes:
    file = data_file(path)
    with open(file, "rb") as handle:
        skip = int(header.fields.get("HeaderSize", 0))
        handle.seek(header.begin if file == Path(path) else max(0, skip))
        return handle.read()


def _axes(fields: dict[str, str], path: Path | str) -> int:
    if fields.get("NDims") != "3":
        raise ValueError(f"{path}: NDims is {fields.get('NDims')}, expected 3")
    return 3


def _numbers(fields: dict[str, str], keys: tuple[str, ...], path: Path | str, count: int, default: Any = None) -> Any:
    key = next((key for key in keys if key in fields), None)
    if key is None and default is not None:
        return default
    try:
        found = [float(part) for part in fields[key].split()]
        if len(found) != count or not np.isfinite(found).all():
            raise ValueError
    except (KeyError, ValueError):
        raise ValueError(f"{path}: {keys[0]} is {fields.get(key or keys[0])!r}, expected {count} numbers") from None
    return found


def _text(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers)
