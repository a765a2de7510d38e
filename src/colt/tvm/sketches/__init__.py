"""Sketch sources. They return design spaces: traces of schedule primitives with open decisions.

``structured`` derives our own sketches from a program's dataflow. ``stock`` applies MetaSchedule's own rules
(``guarded`` keeps them going if one crashes); ``given`` takes design spaces that MetaSchedule has made already. A
:class:`Design` knows nothing of knobs: see ``colt.tvm.space.extract``.
"""

from colt.tvm.sketches.design import Design, DesignSpace, distinct
from colt.tvm.sketches.stock import generate, given
from colt.tvm.sketches.structured import derive

__all__ = ["Design", "DesignSpace", "distinct", "derive", "generate", "given"]
