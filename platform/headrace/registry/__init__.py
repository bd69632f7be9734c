"""The record: lineage, gates, promotion, and the only door to MLflow."""
