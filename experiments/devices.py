"""The GPUs that several trainings share."""

import os


def visible_devices(text: str) -> list[str]:
    """GPUs as CUDA_VISIBLE_DEVICES names them; none for the CPU."""
    if text == "none":
        return []
    import torch

    count = torch.cuda.device_count()
    seen = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = seen[:count] or [str(number) for number in range(count)]
    if text == "auto":
        return names
    try:
        return [names[int(part)] for part in text.split(",")]
    except (ValueError, IndexError):
        raise SystemExit(f"error: --devices {text}: there are {count} GPUs, numbered from 0") from None
