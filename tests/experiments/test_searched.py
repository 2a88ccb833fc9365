"""What the offline verbs say of an experiment that `search` has been at."""

import json

import pytest
import yaml

from experiments.run_folder import RunFolder
from experiments.searched import Origin, check_searched, is_tuned


@pytest.mark.parametrize(("found", "said"), [(None, False), (0.5, False), (0.7, True)])
def test_a_score_on_the_images_of_the_search_is_known(tmp_path, found, said):
    def chain(value: float) -> str:
        step = {"class_path": "postprocessing.Threshold", "init_args": {"value": value}}
        return yaml.safe_dump({"competition": {"postprocess": [step]}})

    (tmp_path / "fold0").mkdir()
    (tmp_path / "fold0" / "config.yaml").write_text(chain(0.5))
    if found is not None:
        (tmp_path / "searched.yaml").write_text(chain(found))
    assert is_tuned(tmp_path, RunFolder(tmp_path / "fold0")) == said


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("searched", "said"), [(0.5, ""), (0.6, "has been changed since `search` wrote it")])
def test_a_record_in_former_words_is_that_of_its_chain(tmp_path, capsys, searched, said):
    def chain(name: str, value: float) -> list:
        return [{"class_path": "postprocessing.Watershed", "init_args": {name: value}}]

    metric = {"class_path": "evaluation.metrics.DicePerImage"}
    record = {"found": chain("seed", 0.5), "chain": {"over_all": [], "postprocess": chain("seed", 0.4)}}
    (tmp_path / "searched.json").write_text(json.dumps(record | {"metric": metric, "folds": {}}))
    (tmp_path / "searched.yaml").write_text(yaml.safe_dump({"competition": {"postprocess": chain("seed", searched)}}))
    now = {"dataset_postprocess": [], "postprocess": chain("seed_threshold", 0.4)}
    check_searched(tmp_path / "searched.yaml", Origin(now, {"class_path": "evaluation.DicePerImage"}), [])
    assert said in (text := capsys.readouterr().out)
    assert bool(said) == bool(text)
