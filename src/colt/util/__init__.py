"""Small tools that know nothing of COLT: files, processes, clocks, the interrupt, statistics of timings."""
