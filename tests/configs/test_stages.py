"""The winners' chains: every stage is a config that parses, builds, and carries the former stage's weights."""

from pathlib import Path

import pytest
import torch
import yaml

import cli
from experiments.loading import build_module
from experiments.stages import make_stages, write_overlay
from lightning_modules.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]
BASES = {"siim_1st": "siim_pneumothorax", "siim_11th": "siim_pneumothorax", "dsb2018_1st": "dsb2018"}


def test_every_recipe_is_tested():
    assert {path.stem for path in (ROOT / "configs" / "stages").glob("*.yaml")} == set(BASES)


@pytest.mark.parametrize("recipe", sorted(BASES))
def test_stages_of_a_recipe(recipe, tmp_path):
    entries = yaml.safe_load((ROOT / "configs" / "stages" / f"{recipe}.yaml").read_text())["stages"]
    stages = make_stages(entries, tmp_path / "run")
    assert stages[-1].run.path == tmp_path / "run"
    assert {stage.start for stage in stages} == {"best"}


def parsed(recipe: str, tmp_path: Path, capsys) -> list[dict]:
    """The whole config of every stage, as its `fit` reads it."""
    file = ROOT / "configs" / "stages" / f"{recipe}.yaml"
    base = ROOT / "configs" / f"{BASES[recipe]}.yaml"
    configs = []
    for stage in make_stages(yaml.safe_load(file.read_text())["stages"], tmp_path):
        overlay = write_overlay(stage, None)
        arguments = [part for path in (base, file, overlay) for part in ("--config", str(path))]
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["fit", *arguments, "--stages", "null", "--print_config"])
        assert ended.value.code == 0
        configs.append(yaml.safe_load(capsys.readouterr().out))
    return configs


def rates(module, epochs: int) -> list[float]:
    """The rate of each epoch by the module's own scheduler."""
    optimizer = module.optimizer([torch.nn.Parameter(torch.zeros(2, 2))])
    scheduler = module.scheduler(optimizer)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted(BASES))
def test_a_recipe_builds_and_hands_its_weights_on(recipe, tmp_path, capsys):
    configs = parsed(recipe, tmp_path, capsys)
    modules = [build_module(config["model"]) for config in configs]
    for number, (one, other) in enumerate(zip(modules, modules[1:], strict=False)):
        path = tmp_path / f"{number}.ckpt"
        torch.save({"state_dict": one.state_dict()}, path)
        load_weights(other, str(path))
    kinds = [type(module.optimizer([torch.nn.Parameter(torch.zeros(1))])).__name__ for module in modules]
    epochs = [config["trainer"]["max_epochs"] for config in configs]
    if recipe == "siim_11th":
        assert (kinds, epochs) == (["Adam", "SGD", "Adam"], [40, 15, 16])
        assert rates(modules[2], 17)[-1] == pytest.approx(1e-6)
    if recipe == "siim_1st":
        assert kinds == ["Adam"] * 5
        frozen = [not next(module.network.encoder.parameters()).requires_grad for module in modules]
        assert frozen == [False, True, False, False, False]
        assert rates(modules[3], 9)[-1] == pytest.approx(1e-7)
        sizes = [config["model"]["init_args"]["inference"]["init_args"]["size"] for config in configs]
        assert sizes == [[512, 512], None, None, None, None]
        assert [config["checkpoint"]["save_top_k"] for config in configs] == [3, 3, 5, 3, 3]
        assert [config["early_stopping"]["init_args"]["patience"] for config in configs] == [10, 12, 10, 12, 12]
    if recipe == "dsb2018_1st":
        expected = [5e-5] * 8 + [1e-5] * 4 + [5e-6] * 3 + [1e-6] * 2
        assert rates(modules[0], 17) == pytest.approx(expected)
        assert rates(modules[1], 20) == pytest.approx(expected + [1e-6] * 3)
        assert epochs == [17, 20]
