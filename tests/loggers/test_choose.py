"""Loggers: what reaches them, that none of them can stop a run, and when wandb is offline."""

import csv
import http.server
import math
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from jsonargparse import Namespace
from pytorch_lightning.loggers import Logger

import cli
from loggers import wandb_mode
from loggers.choose import make_loggers
from loggers.neptune import NeptuneLogger
from loggers.safe_logger import SafeLogger

OVERLAY = """
trainer: {max_epochs: 2, log_every_n_steps: 1}
panels: 2
"""


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config, pixel_images):
    """Six labelled pictures of 8 x 8 with folds, and the config."""
    monkeypatch.chdir(tmp_path)
    pixel_images(6)
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(OVERLAY)))
    assert cli.main(["folds", "--config", "c.yaml"]) == 0
    return tmp_path


# --- Neptune ---------------------------------------------------------------------------------------------------------


class Field:
    """A path of the client's run."""

    def __init__(self, run, path):
        self.run, self.path = run, path

    def append(self, value, step=None, name=None):
        if isinstance(value, float):
            assert math.isfinite(value), "the client refuses it"
            before = self.run.series.get(self.path, [])
            assert not before or before[-1][0] < step, "steps of a series rise strictly"
        self.run.series.setdefault(self.path, []).append((step if name is None else name, value))


class Client:
    """What the logger uses of the `neptune` module, and the run it begins."""

    def __init__(self):
        self.series, self.fields, self.stopped, self.settings = {}, {}, False, None
        self.types = types.SimpleNamespace(File=lambda path: ("file", path))

    def init_run(self, **settings):
        self.settings = settings
        return self

    def __getitem__(self, path):
        return Field(self, path)

    def __setitem__(self, path, value):
        assert isinstance(value, bool | int | float | str), f"the client refuses {value!r}"
        self.fields[path] = value

    def stop(self, seconds=None):
        self.stopped = True


@pytest.fixture
def client(monkeypatch):
    client = Client()
    monkeypatch.setitem(sys.modules, "neptune", client)
    monkeypatch.setitem(sys.modules, "neptune.types", client.types)
    return client


def test_neptune_gets_parameters_metrics_pictures_and_checkpoints(here, client, monkeypatch):
    """A whole fit with the preset, beside a logger that fails in its third step."""
    monkeypatch.setattr(Failing, "calls", 0)
    preset = Path(__file__).parents[2] / "configs" / "presets" / "neptune.yaml"
    entry = yaml.safe_load(preset.read_text())["trainer"]["logger"][0]
    loggers = [{"class_path": f"{__name__}.Failing", "init_args": {"after": 3}}, entry]
    flags = ["--trainer.logger", yaml.safe_dump(loggers, default_flow_style=True, width=1000).strip()]
    with pytest.warns(UserWarning, match=r"Failing failed in log_metrics and is switched off.*RuntimeError: no quota"):
        assert cli.main(["fit", "--config", "c.yaml", *flags]) == 0
    assert client.settings["mode"] == "offline"
    assert client.fields["parameters/model/network/kernel_size"] == 1
    assert client.fields["parameters/model/loss"] == "bce"
    assert client.fields["parameters/data/features"] == "None"
    rows = list(csv.DictReader(open("runs/c/fold0/metrics.csv")))
    for name in ("train/loss", "val/score", "val/loss"):
        expected = [(int(row["step"]), float(row["value"])) for row in rows if row["name"] == name]
        found = client.series[f"metrics/{name}"]
        assert [step for step, _ in found] == [step for step, _ in expected]
        np.testing.assert_allclose([value for _, value in found], [value for _, value in expected], rtol=1e-6)
    assert [Path(value[1]).name for _, value in client.series["panels"]] == ["epoch_000.png", "epoch_001.png"]
    assert Path(client.fields["checkpoints/best"]) == here / "runs/c/fold0/checkpoints/best.ckpt"
    assert client.fields["checkpoints/last"].endswith("last.ckpt")
    best = max(float(row["value"]) for row in rows if row["name"] == "val/score")
    assert client.fields["checkpoints/best_score"] == pytest.approx(best, rel=1e-5)
    assert client.fields["status"] == "success"
    assert client.stopped


def test_neptune_never_sends_what_the_client_refuses(client):
    logger = NeptuneLogger()
    logger.log_metrics({"epoch": 0, "train/loss": 1.0}, 4)
    logger.log_metrics({"epoch": 0, "val/loss": math.nan, "val/score": 0.5}, 4)
    logger.log_metrics({"epoch": 1, "val/loss": 2.0}, 8)
    assert client.series == {
        "metrics/epoch": [(4, 0.0), (8, 1.0)],
        "metrics/train/loss": [(4, 1.0)],
        "metrics/val/score": [(4, 0.5)],
        "metrics/val/loss": [(8, 2.0)],
    }


def test_neptune_without_its_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "neptune", None)
    with pytest.raises(ImportError, match=r"neptune client: pip install -e \"\.\[neptune\]\""):
        NeptuneLogger()
    spec = Namespace(class_path="loggers.neptune.NeptuneLogger", init_args=Namespace(mode="offline"))
    with pytest.warns(UserWarning, match=r"NeptuneLogger cannot be used and is skipped.*\[neptune\]"):
        assert make_loggers([spec]) == []


# --- failures --------------------------------------------------------------------------------------------------------


class Failing(Logger):
    """Fails in a call of `log_metrics`, or when its run is begun.

    Args:
        after: number of the call that fails; 0 fails at the start.
    """

    calls = 0

    def __init__(self, after: int = 1) -> None:
        super().__init__()
        self.after = after

    @property
    def name(self):
        return "failing"

    @property
    def version(self):
        return 0

    @property
    def experiment(self):
        if not self.after:
            raise ConnectionError("no route to host")
        return self

    def log_hyperparams(self, *arguments, **keywords):
        """Takes them."""

    def log_metrics(self, metrics, step=None):
        type(self).calls += 1
        if self.calls >= self.after:
            raise RuntimeError("no quota")


def test_one_warning_and_then_silence(monkeypatch):
    monkeypatch.setattr(Failing, "calls", 0)
    logger = SafeLogger(Failing(2))
    logger.log_metrics({"a": 1.0}, 1)
    with pytest.warns(UserWarning, match="no quota") as caught:
        logger.log_metrics({"a": 1.0}, 2)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logger.log_metrics({"a": 1.0}, 3)
        logger.finalize("success")
        logger.experiment.anything("works")
    assert Failing.calls == 2


def test_a_start_that_fails():
    logger = SafeLogger(Failing(0))
    with pytest.warns(UserWarning, match="Failing failed in start .*no route to host"):
        logger.experiment.add_image("panels")
    assert not logger.is_on


def test_tensorboard_gets_pictures_as_arrays(tmp_path):
    shown = []
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    cv2.imwrite(str(tmp_path / "p.png"), picture[..., ::-1])

    class Board(Failing):
        def add_image(self, *arguments, **keywords):
            shown.append((*arguments, keywords))

    SafeLogger(Board(9)).log_panel(tmp_path / "p.png", 7)
    (name, array, step, keywords), *_ = shown
    assert (name, step, keywords) == ("panels", 7, {"dataformats": "HWC"})
    np.testing.assert_array_equal(array, picture)


def test_a_library_that_is_missing_is_left_out():
    given = Namespace(class_path="pytorch_lightning.loggers.MLFlowLogger", init_args=Namespace(wrong=1))
    with pytest.warns(UserWarning, match="MLFlowLogger cannot be used and is skipped; training continues"):
        assert make_loggers(given) == []
    assert make_loggers(None) == make_loggers(True) == make_loggers(False) == []


# --- wandb's mode ----------------------------------------------------------------------------------------------------


@pytest.fixture
def nothing_known(monkeypatch, tmp_path):
    """No key, no mode."""
    for name in ("WANDB_MODE", "WANDB_DISABLED", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server():
    """A server that answers 404, and the address of a port where nobody listens."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *arguments):
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()


def mode_after(monkeypatch, **environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    wandb_mode.settle_wandb_mode(timeout=2.0)
    return wandb_mode.os.environ.get("WANDB_MODE")


def test_offline_without_a_key(nothing_known, monkeypatch, capsys, server):
    monkeypatch.setenv("WANDB_MODE", "")
    assert mode_after(monkeypatch, WANDB_BASE_URL=server) == "offline"
    assert "wandb is offline: no key" in capsys.readouterr().out


def test_offline_without_a_network(nothing_known, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "")
    begin = time.monotonic()
    assert mode_after(monkeypatch, WANDB_API_KEY="k", WANDB_BASE_URL="http://127.0.0.1:9") == "offline"
    assert time.monotonic() - begin < 3
    assert "http://127.0.0.1:9 does not respond" in capsys.readouterr().out


def test_online_with_both_and_any_answer(nothing_known, monkeypatch, tmp_path, server):
    monkeypatch.setenv("WANDB_MODE", "")
    host = server.removeprefix("http://")
    (tmp_path / "netrc").write_text(f"machine {host} login user password key\n")
    (tmp_path / "netrc").chmod(0o600)
    assert mode_after(monkeypatch, WANDB_BASE_URL=server) == ""


def test_a_mode_that_is_set_stays(nothing_known, monkeypatch):
    assert mode_after(monkeypatch, WANDB_MODE="online") == "online"


@pytest.mark.slow
def test_wandb_offline_run_has_metrics_and_panels(here, monkeypatch):
    """The preset as it is, where there is no key."""
    pytest.importorskip("wandb")
    preset = Path(__file__).parents[2] / "configs" / "presets" / "wandb.yaml"
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    flags = ["--config", str(preset), "--trainer.max_epochs", "1"]
    assert cli.main(["fit", "--config", "c.yaml", *flags]) == 0
    import wandb

    summary = dict(wandb.run.summary)
    config = dict(wandb.run.config)
    wandb.finish()
    assert config["model"]["init_args"]["loss"] == "bce"
    assert summary["val/score"] == pytest.approx(
        [float(row["value"]) for row in csv.DictReader(open("runs/c/fold0/metrics.csv")) if row["name"] == "val/score"][
            -1
        ],
        rel=1e-5,
    )
    assert len(list(here.glob("runs/wandb/offline-run-*/files/media/images/panels_*.png"))) == 1


@pytest.mark.slow
def test_mlflow_keeps_metrics_config_and_panels_in_the_runs_folder(here):
    """The preset as it is."""
    mlflow = pytest.importorskip("mlflow")
    preset = Path(__file__).parents[2] / "configs" / "presets" / "mlflow.yaml"
    flags = ["--config", str(preset), "--trainer.max_epochs", "1"]
    assert cli.main(["fit", "--config", "c.yaml", *flags]) == 0
    client = mlflow.MlflowClient("sqlite:///runs/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("competition").experiment_id])
    logged = [row for row in csv.DictReader(open("runs/c/fold0/metrics.csv")) if row["name"] == "val/score"]
    assert run.data.metrics["val/score"] == pytest.approx(float(logged[-1]["value"]), rel=1e-5)
    assert any(key.endswith("loss") and value == "bce" for key, value in run.data.params.items())
    assert len(list(here.glob("runs/mlartifacts/*/artifacts/panels/*/*.png"))) == 1
