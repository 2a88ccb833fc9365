"""The verb `fit`: train one fold, or on all images."""

from commands.command_line.training import run_verb


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    run_verb("fit", arguments)
