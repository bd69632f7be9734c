"""Baselines, evaluation with plots, MLflow's record and registry, by hand."""

import sys
from pathlib import Path

import matplotlib
import mlflow
import pyarrow.parquet as pq
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from flights.baselines import historic_rate, regression
from flights.columns import FEATURES, TARGET

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

out = Path(sys.argv[1])
past = pq.read_table(out / "table/part=train").to_pandas()
test = pq.read_table(out / "table/part=test").to_pandas()
model = mlflow.pyfunc.load_model(str(out / "model"))
truth = test[TARGET]
scores = {
    "model": model.predict(test[list(FEATURES)]),
    "baseline_rate": historic_rate(past, test),
    "baseline_logistic": regression(past).predict_proba(test[list(FEATURES)])[:, 1],
}
figures = {}
drawn, (calibration, roc, precision) = plt.subplots(1, 3, figsize=(15, 5))
for name, score in scores.items():
    figures |= {
        f"{name}.auc": roc_auc_score(truth, score),
        f"{name}.average_precision": average_precision_score(truth, score),
        f"{name}.brier": brier_score_loss(truth, score),
        f"{name}.log_loss": log_loss(truth, score),
    }
    calibration.plot(*calibration_curve(truth, score, n_bins=10)[::-1], label=name)
    roc.plot(*roc_curve(truth, score)[:2], label=name)
    found = precision_recall_curve(truth, score)
    precision.plot(found[1], found[0], label=name)
for axes, title in ((calibration, "Calibration"), (roc, "ROC"), (precision, "Precision, recall")):
    axes.set_title(title)
    axes.legend()
drawn.savefig(out / "plot.png", dpi=120)

mlflow.set_tracking_uri(f"sqlite:///{out}/mlflow.db")
mlflow.set_experiment("flights")
with mlflow.start_run() as run:
    mlflow.log_params({"epochs": 8, "batch_size": 1024, "learning_rate": 0.002})
    mlflow.log_metrics(figures)
    mlflow.log_artifact(str(out / "plot.png"))
    mlflow.log_artifacts(str(out / "model"), "model")
client = mlflow.MlflowClient()
client.create_registered_model("flight-delays")
version = client.create_model_version(
    "flight-delays", f"runs:/{run.info.run_id}/model", run_id=run.info.run_id
)
assert figures["model.auc"] > figures["baseline_logistic.auc"] > figures["baseline_rate.auc"]
client.set_registered_model_alias("flight-delays", "champion", version.version)
print({name: round(value, 4) for name, value in figures.items()})
