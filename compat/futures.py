"""Errors of processes in `concurrent.futures` (Python 3.11), whose cause contains the traceback as text."""

import re

PLACE = re.compile(r'^  File "(.+)", line (\d+), in .+\n(.*)$', re.MULTILINE)


def place_in_process(error: BaseException) -> tuple[str, int, str] | None:
    """File, line and code that raised an error in a pool process; None if raised in this process."""
    text = str(error.__cause__)
    found = PLACE.findall(text) if text.startswith('\n"""\nTraceback') else []
    return (found[-1][0], int(found[-1][1]), found[-1][2]) if found else None
