"""Whole models: compiled, kept in one file, run.

- ``compile``: the main job: import, tune the tasks within one budget, assemble, verify, keep
- ``archive``: the file, its manifest and its weights, which are mapped into memory
- ``compiled``: a model that can be called
"""
