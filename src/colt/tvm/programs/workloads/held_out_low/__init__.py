"""More programs that COLT was not made for: in few bits, or awkward, each written from the definition of its operator.

They come at one size, ``small``, like those of :mod:`~colt.tvm.programs.workloads.held_out`.
"""
