"""Classifiers: specs that say what to load, and models that turn frames into scores, and stored outputs into responses.

Here belongs what knows of models. `specs` imports no torch, so that configuration and tests of it stay light. Imports
`storage`, `video` for the shape of frames, and `queries` for labels.
"""
