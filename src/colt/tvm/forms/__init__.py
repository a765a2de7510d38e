"""Other programs that compute what a program computes, by other sums. Which is the fastest is measured.

``convolution`` recognises a convolution in a program, ``winograd`` writes it in Winograd's form, for which
``transforms`` has the arithmetic of one tile.
"""

from colt.tvm.forms.winograd import winograd_forms

__all__ = ["winograd_forms"]
