"""Whole models: compiled, kept in one file, run.

- ``compile``: the main job: import, tune the tasks within one budget, assemble, verify, keep
- ``options``: what can be asked for; ``judge``: what may be said of the whole, ``report``: in a table
- ``fitting``: which schedules of its programs are fastest in the model
- ``archive``: the file, its manifest and its weights, which are mapped into memory
- ``compiled``: a model that can be called; ``tensors``: its inputs and outputs as files
- ``torch_backend``: ``torch.compile(model, backend="colt")``; ``torch_report`` says what became of each graph, and
  ``torch_checks`` what has to run in PyTorch
"""
