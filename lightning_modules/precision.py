"""Mixed precision if the machine is faster with it."""

from contextlib import AbstractContextManager, nullcontext

import torch
from pytorch_lightning.plugins.precision import MixedPrecision


def best_precision() -> tuple[str, str]:
    """The fastest (precision, device) of this machine without loss of accuracy.

    CUDA of compute capability 8.0 or more and CPUs with native bfloat16 (AVX512_BF16 or AMX): bf16 autocast. Older CUDA
    (Kaggle's P100 and T4): 16-bit with a gradient scaler. Others: 32-bit, because emulated bfloat16 is slower.
    """
    if torch.cuda.is_available():
        native = torch.cuda.get_device_capability()[0] >= 8
        return ("bf16-mixed" if native else "16-mixed"), "cuda"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # newer torch only; 32-bit without it
    native = any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return ("bf16-mixed" if native else "32-true"), "cpu"


class AutoPrecision(MixedPrecision):
    """The best mixed precision of this machine, or 32-bit. For `trainer.plugins`."""

    def __init__(self) -> None:
        chosen, device = best_precision()
        self.enabled = chosen != "32-true"
        super().__init__(chosen if self.enabled else "bf16-mixed", device)
        if not self.enabled:
            self.precision = "32-true"

    def forward_context(self) -> AbstractContextManager:
        return super().forward_context() if self.enabled else nullcontext()
