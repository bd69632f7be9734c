"""Spark and Ray: a spec becomes settings; foreign states become ours. One door per engine."""
