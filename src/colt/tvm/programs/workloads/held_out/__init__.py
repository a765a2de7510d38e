"""Programs unlike the main workloads, which COLT was not made for. What COLT claims must hold for them as well.

They come at one size, ``small``. They are workloads like the others, listed apart in the registry.
"""
