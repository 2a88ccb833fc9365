"""The verb `fit`: train one fold (or all rows)."""

from commands.command_line.training import run_verb


def main(arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""
    run_verb("fit", arguments)
