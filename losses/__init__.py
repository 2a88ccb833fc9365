"""One loss per file, and the formula that combines them.

The file `losses/<name>.py` with the class `<Name>Loss` (`dice_score.py` → `DiceScoreLoss`) is the loss `<name>` of the
formula; to add a loss, add a file. Every loss is an `nn.Module` called with
`(logits, target, weight=None)`.
"""

from losses.formula import LossFormula, known_losses

__all__ = ["LossFormula", "known_losses"]
