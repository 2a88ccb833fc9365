import csv

from loggers.metrics_csv import MetricsCSV


def test_a_second_logger_appends(tmp_path):
    MetricsCSV(tmp_path, "fit").log_metrics({"train/loss": 0.5, "epoch": 0}, step=3)
    MetricsCSV(tmp_path, "validate").log_metrics({"val/score": 0.25, "val/loss": 1.0, "epoch": 1}, step=7)
    rows = list(csv.DictReader(open(tmp_path / "metrics.csv")))
    assert [(row["stage"], row["epoch"], row["step"], row["name"], row["value"]) for row in rows] == [
        ("fit", "0", "3", "train/loss", "0.5"),
        ("validate", "1", "7", "val/score", "0.25"),
        ("validate", "1", "7", "val/loss", "1"),
    ]
