"""Programs of other kinds than the main workloads, which COLT was not made for: what is claimed must hold here as well.

They come at one size, ``small``. They are workloads like the others, listed apart in the registry.
"""
