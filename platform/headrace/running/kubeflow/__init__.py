"""Runs that a site's Kubeflow Pipelines drives: handed over, followed, read."""
