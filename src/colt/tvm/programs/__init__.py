"""Where programs come from: built-in workloads, files of users, saved modules."""
