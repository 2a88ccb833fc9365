# `just` lists what there is (https://just.systems).
_list:
    @just --list

# everything to work on the repository
install:
    pip install -e ".[test,lint,docs]"
    pre-commit install

# the tests; `just test tests/losses -n 0` some of them, in one process
test *arguments:
    pytest {{arguments}}

# the tests that take minutes
slow:
    pytest -m slow -n 0

# check and format
lint:
    ruff check --fix .
    ruff format .
    .ci/types

# the site in build/docs, its tutorials run when they have changed
docs:
    TUTORIALS=cache sphinx-build -W docs build/docs

# addresses of other sites that no longer answer
links:
    sphinx-build -b linkcheck docs build/links

# the picture of the README, from a finished quickstart
picture:
    python -m docs.generate.picture runs/quickstart/fold0/panels docs/images/panel.png 2 3

# a first run, with data it makes itself
quickstart:
    python cli.py run --config configs/quickstart.yaml
