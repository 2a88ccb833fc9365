"""The verb `predict`: write out-of-fold and test predictions."""

from commands.command_line.every_fold import main_of_folds


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    main_of_folds("predict", arguments)
