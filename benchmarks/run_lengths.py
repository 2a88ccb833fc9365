"""Run lengths against the numpy recipe that Kaggle notebooks share, and a loop over the ids for label images."""

import cv2
import numpy as np

from benchmarks.measure import Report, compare
from masks import rle


def notebook_encode(mask: np.ndarray) -> str:
    pixels = np.concatenate([[0], mask.T.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(x) for x in runs)


def notebook_decode(text: str, shape: tuple[int, int]) -> np.ndarray:
    parts = text.split()
    starts, lengths = (np.asarray(x, dtype=int) for x in (parts[0:][::2], parts[1:][::2]))
    starts -= 1
    mask = np.zeros(shape[0] * shape[1], dtype=np.uint8)
    for low, high in zip(starts, starts + lengths, strict=True):
        mask[low:high] = 1
    return mask.reshape(shape[::-1]).T


def blobs(side: int, scale: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((side, side)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), scale) > 0


def ellipses(side: int, count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    for number in range(1, count + 1):
        centre = tuple(int(x) for x in random.integers(0, side, 2))
        axes = tuple(int(x) for x in random.integers(8, 20, 2))
        cv2.ellipse(labels, centre, axes, float(random.uniform(0, 180)), 0, 360, number, -1)
    return labels


def main() -> None:
    report = Report("run_lengths", ["numpy", "opencv-python-headless"])
    dense, sparse = blobs(1024, 3.0), np.zeros((1024, 1024), bool)
    sparse[300:340, 500:560] = True
    for name, mask in (("dense", dense), ("sparse", sparse)):
        text = notebook_encode(mask)
        assert rle.encode(mask) == text
        assert (rle.decode(text, mask.shape) == notebook_decode(text, mask.shape)).all()
        work = f"1024 x 1024, {name}, {len(text.split()) // 2} runs"
        report.add(
            f"encode {work}",
            compare({"notebook": lambda m=mask: notebook_encode(m), "ours": lambda m=mask: rle.encode(m)}, "notebook"),
        )
        report.add(
            f"decode {work}",
            compare(
                {
                    "notebook": lambda t=text, m=mask: notebook_decode(t, m.shape),
                    "ours": lambda t=text, m=mask: rle.decode(t, m.shape),
                },
                "notebook",
            ),
        )
    labels = ellipses(1024, 500)
    ids = [int(i) for i in np.unique(labels) if i]
    assert rle.encode_instances(labels) == {i: notebook_encode(labels == i) for i in ids}
    report.add(
        f"encode {len(ids)} instances of a 1024 x 1024 label image",
        compare(
            {
                "loop over ids": lambda: {i: notebook_encode(labels == i) for i in ids},
                "ours": lambda: rle.encode_instances(labels),
            },
            "loop over ids",
            rounds=5,
        ),
    )
    report.save()


if __name__ == "__main__":
    main()
