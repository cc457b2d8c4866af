"""Classifiers: specs that say what to load, and models that turn frames into scores.

`specs` imports no torch, so that configuration and tests of it stay light; `torch_models` does the work.
"""
