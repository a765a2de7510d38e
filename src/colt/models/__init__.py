"""Whole models: compiled, kept in one file, run.

- ``compile``: the main job: import, tune the tasks within one budget, assemble, verify, keep
- ``layouts``: the layout of convolutions that promises most; ``tuning``: the tasks in one run
- ``options``: what can be asked for; ``judge``: what may be said of the whole, ``report``: in a table
- ``by_rule``: plain schedules of what no sketch schedules; ``fitting``: which schedules are fastest in the model
- ``receipt``: what tuning took, all programs together
- ``bucket``: the same for several sizes that a file leaves open; ``other_sizes``: a model for all others,
  ``others_apart``: made in a process that TVM may end
- ``manifest``: what a model says of itself; ``archive``: its file, with the weights, which are mapped into memory
- ``compiled``: a model that can be called, ``sized``: one of several sizes, some of which are
  ``dependent_sizes``; ``loading``: both from their file, whose weights are ``checked`` before they are used;
  ``tensors``: inputs and outputs as files
- ``torch_backend``: ``torch.compile(model, backend="colt")``; ``torch_report`` says what became of each graph,
  ``torch_breaks`` what runs between them, and ``torch_checks`` what has to run in PyTorch
"""
