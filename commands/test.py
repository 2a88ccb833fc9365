"""The verb `test`: score a trained run on labelled test images."""

from commands.command_line.training import run_verb


def main(arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""
    run_verb("test", arguments)
