"""Whole models: a graph from PyTorch or ONNX becomes fused functions, of which tuned ones make a library again.

- ``sources``: where models come from (``torch_graph``, ``onnx_graph``); all end as Relax, weights as constants
  (``graph``)
- ``torch_operators``, ``onnx_operators``: what TVM takes for something else, ``torch_reductions``: what it does not
  have; ``exponential_unit`` is of both
- ``onnx_sizes``, ``torch_sizes``: files that leave sizes open, for any of these; ``open_shapes``: for all of them
- ``quantised``, ``cast``: products over integers of 8 bits, and of numbers that are narrower on request
- ``layouts``: those that convolutions may have
- ``fused``: operators become functions over tensors, by ``transposed`` where TVM has none for a layout, and by
  ``comparisons``, ``extremes`` and ``norms`` where its own are wrong for NaN, infinities, or means far from zero; what
  depends on constants alone is computed
- ``blame``: which operator it is, where that fails
- ``tasks``: the different functions of a model, as programs to be tuned
- ``assembly``: tuned functions back in their places, weights packed as they want them, one library, whose ``outputs``
  are in nobody else's memory
- ``untuned``: a plain schedule for functions that nobody tunes, ``calls_by_rows``: of those that TVM's library computes
- ``library``: that library, loaded and called
"""
