#!/usr/bin/env bash
# The work of pipelines/flights as somebody would do it by hand: three scripts in a row.
#   bench/bare/flights/run.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
export PYTHONPATH="$here/../../../pipelines"
spark-submit --driver-memory 2g --driver-java-options "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC" \
  "$here/features_spark.py" "$out"
OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES="" torchrun --nproc-per-node 2 --standalone \
  "$here/train_torchrun.py" "$out"
python "$here/log_mlflow.py" "$out"
