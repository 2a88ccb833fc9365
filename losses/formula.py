"""The loss formula: `2.7 * bce(mask) + 0.9 * dice(mask) + 0.1 * bce(empty)`."""

import ast
import difflib
import inspect
import math
import operator
import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from compat.former_keys import accept_former_arguments
from losses.inputs import Logits, shaped_weight
from losses.levels import is_whole_fraction, levels_of, resize_target
from losses.library import library_loss

NOT_LOSSES = {"analytic", "features", "formula", "inputs", "levels", "library"}
OPERATORS: dict[type, tuple[str, Callable]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
}
Outputs = Mapping[str, Tensor | list[Tensor]]


def known_losses() -> list[str]:
    """Names of all losses, which are the files of this folder.

    Example:
        >>> from losses import known_losses
        >>> known_losses()[:4]
        ['active_contour', 'arcface', 'bce', 'boundary_dou']
    """
    return sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name not in NOT_LOSSES)


def loss_class(name: str) -> type[nn.Module]:
    """The class of a loss file: `dice_score` → `losses.dice_score.DiceScoreLoss`."""
    words = name.split("_")
    return getattr(import_module(f"losses.{name}"), "".join(word.capitalize() for word in words) + "Loss")


class FormulaError(ValueError):
    """A mistake in a loss formula; the message shows where."""


class LossFormula(nn.Module):
    """A weighted sum of losses over named outputs, parsed once from text.

    `name(output[, target], key=value)` is the loss of `losses/name.py` between an output and a target (default: the
    target of the same name). A bare `name`, or one with keys only, uses the main output (the first). Numbers,
    `+ - * /`, `log(…)` and `side`, the height of the image in pixels, combine the losses.

    A network with deep supervision returns an output at several levels, from fine to coarse. Each is compared with the
    target resized to it, and the losses are averaged with weights 1, 1/2, 1/4, … (nnU-Net). `dice(mask, levels=[1, 0.4,
    0])` sets other weights, one per level: only ratios matter, and a level of weight 0 is not computed. An output of
    one level may also be smaller than its target by an integer factor: the target is resized.

    Args:
        text: the formula.
        terms: additional losses by name, for example of a library; called as `(logits, target)`, see
            `losses.library.library_loss`.

    Raises:
        FormulaError: unknown name, wrong key, syntax error, no loss, or a number of `levels` that is not the output's.

    Example:
        >>> import torch
        >>> from losses import LossFormula
        >>> formula = LossFormula("2 * bce(mask) + dice(mask) + 0.1 * bce(empty)")
        >>> outputs = {"mask": torch.zeros(1, 1, 4, 4), "empty": torch.zeros(1, 1)}
        >>> targets = {"mask": torch.ones(1, 1, 4, 4), "empty": torch.zeros(1, 1)}
        >>> total, parts = formula(outputs, targets)
        >>> {name: round(value.item(), 3) for name, value in parts.items()}
        {'2 * bce(mask)': 1.386, 'dice(mask)': 0.32, '0.1 * bce(empty)': 0.069}
        >>> round(total.item(), 3)
        1.776
    """

    def __init__(self, text: str, terms: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.text = text
        self.named_terms = nn.ModuleDict(dict(terms or {}))
        self.losses = nn.ModuleList()
        # Indexed by an attribute of the syntax tree's nodes, which survives the deep copy of weight averaging.
        self._calls: list[tuple[int, str | None, str | None, bool, list[float] | None]] = []
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except SyntaxError as error:
            raise FormulaError(f"loss formula: {error.msg}, at column {error.offset}: {text}") from None
        self._summands = [
            (ast.unparse(node) if sign > 0 else f"-{ast.unparse(node)}", node, sign)
            for node, sign in _summands(tree, 1)
        ]
        for name, node, _ in self._summands:
            factor = _factor(node)
            if factor == 0:
                raise FormulaError(f"loss formula: the term {name!r} has weight 0 and no effect; remove it")
            if not math.isfinite(factor):
                raise FormulaError(f"loss formula: the weight of the term {name!r} is not finite")
        names = self.terms_text()
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:  # both would be logged under one name
            raise FormulaError(
                f"loss formula: the term {twice!r} is repeated; write it once with a weight: 2 * {twice}"
            )
        for _, node, _ in self._summands:
            self._compile(node)
        if not self._calls:
            raise FormulaError(f"loss formula: {text!r} contains no loss, expected at least one term")
        called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        unused = [name for name in self.named_terms if name not in called]
        if unused:
            raise FormulaError(
                f"loss formula: {text!r} does not use {unused[0]!r} of model.loss_terms; add it to model.loss, or "
                "remove it from loss_terms"
            )

    def terms_text(self) -> list[str]:
        """The text of each summand, under which it is logged."""
        return [text for text, _, _ in self._summands]

    def forward(
        self, outputs: Outputs | Tensor, targets: Mapping[str, Any] | Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The total loss and its summands.

        Args:
            outputs: logits by name, each `(N, C, *spatial)` or `(N, C)`, or a list of these from fine to coarse (deep
                supervision; averaged with weights 2^-k); or one tensor.
            targets: targets by name, or one tensor. The optional entry `valid` `(N, *spatial)` marks the valid pixels.
            weight: `(N,)` per image, or broadcastable to each output.

        Returns:
            The total, and the value of each summand by its text; they sum to the total.
        """
        outputs = {"output": outputs} if isinstance(outputs, Tensor) else outputs
        if isinstance(targets, Tensor):
            targets = {next(iter(outputs)): targets}
        names = [(name, level) for name, value in outputs.items() for level in range(len(levels_of(value)))]
        tensors = [levels_of(outputs[name])[level] for name, level in names]

        def evaluate(*tensors: Tensor) -> tuple[Tensor, ...]:
            given: dict[str, list[Tensor]] = {name: [] for name in outputs}
            for (name, _), tensor in zip(names, tensors, strict=True):
                given[name].append(tensor)
            call = _Call(self, given, targets, weight)
            parts = [torch.as_tensor(call.value(node) * sign) for _, node, sign in self._summands]
            return sum(parts[1:], parts[0]), *parts

        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
            total, *parts = _WithGradient.apply(evaluate, len(tensors), *tensors, *trained)
        else:
            total, *parts = evaluate(*tensors)
        return total, {text: part.detach() for (text, _, _), part in zip(self._summands, parts, strict=True)}

    # --- parsing -----------------------------------------------------------------------------------------------------

    def _error(self, node: ast.AST, message: str) -> FormulaError:
        column = getattr(node, "col_offset", 0)
        return FormulaError(
            f"loss formula: {message}, at column {column + 1}:\n  {self.text.strip()}\n  {' ' * column}^"
        )

    def _compile(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            self._compile(node.left)
            self._compile(node.right)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            self._compile(node.operand)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "log":
            if len(node.args) != 1 or node.keywords:
                raise self._error(node, "log takes exactly one argument")
            self._compile(node.args[0])
        elif isinstance(node, ast.Name) and node.id == "side":
            return
        elif isinstance(node, ast.Name):
            self._add_loss(node, node.id, [], {})
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [self._name(argument) for argument in node.args]
            if len(names) > 2:
                raise self._error(node, f"{node.func.id} takes an output and a target, got {len(names)} arguments")
            self._add_loss(node, node.func.id, names, {str(k.arg): self._option(k.value) for k in node.keywords})
        else:
            raise self._error(node, f"{ast.unparse(node)!r} is not allowed, only names, numbers, + - * / and log")

    def _name(self, node: ast.expr) -> str:
        if not isinstance(node, ast.Name):
            raise self._error(node, f"expected the name of an output, found {ast.unparse(node)!r}")
        return node.id

    def _option(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            return {"true": True, "false": False, "none": None}.get(node.id, node.id)
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise self._error(node, f"expected a number, a word or a list, found {ast.unparse(node)!r}") from None

    def _level_weights(self, node: ast.expr, levels: Any) -> list[float] | None:
        """The level weights of a term; None if it sets none."""
        if levels is None:
            return None
        sound = isinstance(levels, list | tuple) and all(
            isinstance(level, int | float) and not isinstance(level, bool) and level >= 0 for level in levels
        )
        if not sound or not sum(levels):
            raise self._error(node, f"levels is {levels!r}, expected a list of weights from fine to coarse: [1, 0.5]")
        return [float(level) for level in levels]

    def _add_loss(self, node: ast.expr, name: str, names: list[str], options: dict[str, Any]) -> None:
        weights = self._level_weights(node, options.pop("levels", None))
        if name in self.named_terms:
            if options:
                raise self._error(node, f"{name} is defined in loss_terms; set its options there")
            self.losses.append(self.named_terms[name])
        else:
            known = known_losses()
            if name not in known:
                near = difflib.get_close_matches(name, [*known, *self.named_terms], n=1)
                hint = f", did you mean {near[0]!r}?" if near else "."
                raise self._error(node, f"no loss {name!r}{hint} Known: {', '.join([*known, *self.named_terms])}")
            kind = loss_class(name)
            options = accept_former_arguments(kind.__name__, options)
            accepted = list(inspect.signature(kind).parameters)
            wrong = [key for key in options if key not in accepted]
            if wrong:
                raise self._error(
                    node, f"{name} has no option {wrong[0]!r}, available: {', '.join(accepted) or 'none'}"
                )
            self.losses.append(kind(**options))
        output = names[0] if names else None
        target = names[1] if len(names) > 1 else output
        node.call = len(self._calls)  # type: ignore[attr-defined]  # our own
        self._calls.append((len(self.losses) - 1, output, target, name in self.named_terms, weights))


class _WithGradient(torch.autograd.Function):
    """Computes the gradient of a formula together with its value.

    Memory until the network's backward pass is then one value per logit instead of every intermediate of every loss.
    """

    @staticmethod
    def forward(ctx: Any, evaluate: Callable, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        logits, parameters = tensors[:count], tensors[count:]
        with torch.enable_grad():
            # Half precision is cast to float32 first: tiny gradients would vanish before the gradient scaler acts.
            half = (torch.float16, torch.bfloat16)
            leaves = [value.detach().float() if value.dtype in half else value.detach() for value in logits]
            for leaf, value in zip(leaves, logits, strict=True):
                leaf.requires_grad_(value.requires_grad)
            total, *parts = evaluate(*leaves)
            wanted = [value for value in (*leaves, *parameters) if value.requires_grad]
            found = (
                torch.autograd.grad(total, wanted, allow_unused=True) if total.requires_grad else [None] * len(wanted)
            )
        grads = iter(found)
        ctx.save_for_backward(*(next(grads) if value.requires_grad else None for value in (*leaves, *parameters)))
        ctx.types = [value.dtype for value in tensors]
        parts = [part.detach().clone() for part in parts]
        ctx.mark_non_differentiable(*parts)
        return total.detach(), *parts

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grads = ctx.saved_tensors
        scaled = [
            None if grad is None else (grad * upstream).to(kind) for grad, kind in zip(grads, ctx.types, strict=True)
        ]
        return None, None, *scaled


class _Call:
    """One evaluation of a formula; holds the logits with the activations that its losses share."""

    def __init__(
        self, formula: LossFormula, outputs: Outputs, targets: Mapping[str, Any], weight: Tensor | None
    ) -> None:
        self.formula, self.outputs, self.targets, self.weight = formula, outputs, targets, weight
        self.main = next(iter(outputs))
        self.views: dict[tuple[str, int], Logits] = {}
        self.targets_of: dict[tuple[str, torch.Size], Tensor] = {}
        self.weights_of: dict[torch.Size, Tensor] = {}

    def value(self, node: ast.expr) -> Tensor | float:
        if (call := getattr(node, "call", None)) is not None:
            return self.loss(node, call)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)][1](self.value(node.left), self.value(node.right))
        if isinstance(node, ast.UnaryOp):
            inner = self.value(node.operand)
            return -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.Name):
            return float(self.side())
        return torch.log(torch.as_tensor(self.value(cast(ast.Call, node).args[0])))

    def side(self) -> int:
        """Height of the image, or of the first spatial output if there is no image."""
        tensors = [levels_of(value)[0] for value in self.outputs.values()]
        if isinstance(self.targets.get("image"), Tensor):
            tensors.insert(0, self.targets["image"])
        spatial = [tensor.shape[-2] for tensor in tensors if tensor.dim() >= 4]
        if not spatial:
            raise ValueError("loss formula: `side` needs a spatial output or an image, found neither")
        return spatial[0]

    def loss(self, node: ast.expr, call: int) -> Tensor:
        number, output, target_name, foreign, given = self.formula._calls[call]
        module = self.formula.losses[number]
        name = output or self.main
        if name not in self.outputs:
            raise self.formula._error(node, f"no output {name!r}; the network has {', '.join(self.outputs)}")
        target = self.targets.get(target_name or self.main)
        needed = getattr(module, "needs_target", True)
        if needed and not isinstance(target, Tensor):
            have = ", ".join(key for key, value in self.targets.items() if isinstance(value, Tensor))
            raise self.formula._error(node, f"no target {target_name or self.main!r}; the batch has {have}")
        value = self.outputs[name]
        levels = levels_of(value)
        shares = [2.0**-level for level in range(len(levels))] if given is None else given
        if len(shares) != len(levels):
            raise self.formula._error(
                node, f"levels has {len(shares)} weights, but the output {name!r} has {len(levels)} levels"
            )
        counted = [level for level, share in enumerate(shares) if share]
        losses = []
        for level in counted:
            logits = levels[level]
            coarse = isinstance(target, Tensor) and needed and (len(levels) > 1 or is_whole_fraction(logits, target))
            resized = self.resized(target_name or self.main, logits) if coarse else target
            weight = self.weights(logits)
            if foreign:
                term = cast(ast.Name, node.func if isinstance(node, ast.Call) else node).id
                losses.append(library_loss(term, module, logits, resized if needed else None, weight))
                continue
            view = self.views.setdefault((name, level), Logits(logits))
            losses.append(module(view, resized, weight=weight))
        weighted = (shares[level] * loss for level, loss in zip(counted, losses, strict=True))
        return torch.as_tensor(sum(weighted) / sum(shares))

    def resized(self, name: str, logits: Tensor) -> Tensor:
        """A target resized to an output; the same tensor for every loss, so that they share its checked inputs."""
        key = name, logits.shape[2:]
        if key not in self.targets_of:
            self.targets_of[key] = resize_target(self.targets[name], logits)
        return self.targets_of[key]

    def weights(self, logits: Tensor) -> Tensor | None:
        """Image weights times valid pixels, for one output; the same tensor for every loss."""
        valid = self.targets.get("valid")
        if not isinstance(valid, Tensor) or logits.dim() < 3:
            return self.weight
        key = logits.shape[2:]
        if key not in self.weights_of:
            counted = resize_target(valid.unsqueeze(1).float(), logits)
            if self.weight is not None:
                counted = counted * shaped_weight(self.weight, logits)
            self.weights_of[key] = counted
        return self.weights_of[key]


def _summands(node: ast.expr, sign: int) -> list[tuple[ast.expr, int]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        right = sign if isinstance(node.op, ast.Add) else -sign
        return _summands(node.left, sign) + _summands(node.right, right)
    return [(node, sign)]


def _factor(node: ast.expr) -> float:
    """The product of the literal numbers of a summand; everything else in it is taken as 1."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_factor(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _factor(node.left), _factor(node.right)
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            return left / right if right else math.inf
        if _is_number(node):
            return left + right if isinstance(node.op, ast.Add) else left - right
    return 1.0


def _is_number(node: ast.expr) -> bool:
    return not any(isinstance(part, ast.Name | ast.Call) for part in ast.walk(node))
