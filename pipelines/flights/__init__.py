"""Predict whether a flight out of New York arrives 15 minutes late or more.

`pipeline.py` chains the steps. Each step has a module of its own whose top imports no
engine, so that compiling the pipeline and running one step stay quick.
"""
