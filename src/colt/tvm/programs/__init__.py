"""Where programs come from, and the form that they are tuned in.

- ``source``: from what a user names to a program; ``user_file``, ``program``, ``workloads``: files, expressions, ours
- ``roles``, ``arguments``, ``constants``: what it is called with, and which of that is always the same
- ``inputs``, ``arrays``: what the user gives; ``demands``, ``domains``, ``intervals``: from where the rest is drawn
- ``out_of_bounds``: what certainly leaves its tensors is refused, by ``doubts``, ``witness`` and ``expressions``
- ``normal``: the form that sketches are made for. Its steps read the program by ``nests``, ``accesses`` and ``naming``:
  ``versions``, ``accumulation``, ``emptiness``, ``wraps``, ``quotients``, ``zero_points``, ``rests``: what is computed
  ``choices``, ``ties``: which of several candidates is chosen
  ``distribution``, ``untiled``, ``rows``, ``hoisting``, ``totals``, ``running``, ``foreign``: loops become blocks
  ``arranged``, ``lowering``, ``lanes``, ``strips``, ``peeling``: what a row does, arranged for vectors
  ``phases``, ``spreading``, ``gaps``, ``strided``, ``weaving``: transposed convolutions without products with zeros
- ``walks``: how all of these, and others, go through a program; ``loops``: those of a schedule's blocks;
  ``alike``: equal expressions
- ``suited``: the form that suits a processor, by ``copies`` and ``corrections``
- ``identity``: what it is found by among records; ``export``, ``listing``: what becomes of it
"""
