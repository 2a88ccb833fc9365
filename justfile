# `just` lists the recipes (https://just.systems).
_list:
    @just --list

# install everything for development
install:
    pip install -e ".[test,lint,docs]"
    pre-commit install

# run the tests; `just test tests/losses -n 0` runs some of them, in one process
test *arguments:
    pytest {{arguments}}

# run the slow tests
slow:
    pytest -m slow -n 0

# check and format
lint:
    ruff check --fix .
    ruff format .
    .ci/types

# build the site in build/docs; tutorials run if they have changed
docs:
    TUTORIALS=cache sphinx-build -W docs build/docs

# check external links
links:
    sphinx-build -b linkcheck docs build/links

# make the image of the README, from a finished quickstart
readme_image:
    python -m docs.generate.readme_image runs/quickstart/fold0/panels docs/images/panel.png 2 3

# run the quickstart on generated data
quickstart:
    python cli.py run --config configs/quickstart.yaml
