"""Small tools that know nothing of COLT: statistics of timings, clocks, processes."""
