#!/usr/bin/env bash
# jsonargparse: `null` on the command line becomes the string "None" for an argument of a class inside another class.
#
# Versions: jsonargparse 4.53.0, PyYAML 6.0.2.
# Input:    --model.network.weights null, where `model` is a class with an argument `network`, a class with an argument
#           `weights: Optional[str]`; and --model.start null, an argument of the outer class.
# Expected: both None, as from a YAML file with `weights: null`.
# Seen:     the outer one is None, the inner one is the string "None"; from YAML both are None.
# Ends with 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "jsonargparse==4.53.0" "pyyaml==6.0.2" "typeshed_client" "docstring-parser"
cat > "$folder/nested.py" <<'PYTHON'
from typing import Optional

from jsonargparse import ActionConfigFile, ArgumentParser


class Network:
    def __init__(self, weights: Optional[str] = "imagenet"): ...


class Model:
    def __init__(self, network: Network, start: Optional[str] = "here"): ...


CONFIG = """
model:
  class_path: __main__.Model
  init_args: {network: {class_path: __main__.Network, init_args: {weights: %s}}}
"""


def parsed(config, *flags):
    parser = ArgumentParser()
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_subclass_arguments(Model, "model")
    arguments = parser.parse_args(["--config", config, *flags]).model.init_args
    return arguments.network.init_args.weights, arguments.start


from_yaml = parsed(CONFIG % "null", "--model.start", "null")
from_flag = parsed(CONFIG % "imagenet", "--model.network.weights", "null", "--model.start", "null")
print("weights, start from YAML:", from_yaml)
print("weights, start by flags: ", from_flag)
raise SystemExit(not (from_yaml == (None, None) and from_flag == ("None", None)))
PYTHON
"$folder/venv/bin/python" "$folder/nested.py"
