"""Baselines, evaluation with plots, MLflow's record, registry and alias, by hand."""

import sys
from pathlib import Path

import matplotlib
import mlflow
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from flights.columns import FEATURES, TARGET
from flights.reference import add_baselines

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def calibration_error(truth, score, bins=10):
    """The mean distance between predicted and observed rates, over equally wide bins."""
    place = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [(place == one, abs((score - truth)[place == one].sum())) for one in range(bins)]
    return sum(gap for inside, gap in gaps if inside.any()) / len(truth)


out = Path(sys.argv[1])
test = add_baselines(str(out / "table"))
test.to_parquet(out / "scored.parquet")
model = mlflow.pyfunc.load_model(str(out / "model"))
scores = {
    "model": model.predict(test[list(FEATURES)]),
    "baseline_rate": test["baseline_rate"].to_numpy(),
    "baseline_logistic": test["baseline_logistic"].to_numpy(),
}
truth = test[TARGET].to_numpy()
figures = {}
page, (calibration, roc, precision) = plt.subplots(1, 3, figsize=(15, 5))
for name, score in scores.items():
    figures |= {
        f"{name}.auc": roc_auc_score(truth, score),
        f"{name}.average_precision": average_precision_score(truth, score),
        f"{name}.brier": brier_score_loss(truth, score),
        f"{name}.log_loss": log_loss(truth, score),
        f"{name}.ece": calibration_error(truth, score),
    }
    observed, predicted = calibration_curve(truth, score, n_bins=10)
    calibration.plot(predicted, observed, label=name)
    roc.plot(*roc_curve(truth, score)[:2], label=name)
    precisions, recalls, _ = precision_recall_curve(truth, score)
    precision.plot(recalls, precisions, label=name)
for axes, title in ((calibration, "Calibration"), (roc, "ROC"), (precision, "Precision, recall")):
    axes.set_title(title)
    axes.legend()
page.savefig(out / "plot.png", dpi=120)

mlflow.set_tracking_uri(f"sqlite:///{out}/mlflow.db")
mlflow.create_experiment("flights", artifact_location=f"file://{out}/mlartifacts")
mlflow.set_experiment("flights")
with mlflow.start_run() as run:
    mlflow.log_params({"epochs": 6, "batch_size": 2048, "learning_rate": 0.004, "seed": 0})
    mlflow.log_metrics(figures)
    mlflow.log_artifact(str(out / "plot.png"))
    mlflow.log_artifacts(str(out / "model"), "model")
client = mlflow.MlflowClient()
client.create_registered_model("flight-delays")
version = client.create_model_version(
    "flight-delays", f"{run.info.artifact_uri}/model", run_id=run.info.run_id
)
if figures["model.auc"] > max(figures["baseline_logistic.auc"], figures["baseline_rate.auc"]):
    client.set_registered_model_alias("flight-delays", "champion", version.version)
print({name: round(value, 4) for name, value in figures.items()})
