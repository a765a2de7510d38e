"""Where kernels run: target, threads, limits and peaks of each kind of device."""
