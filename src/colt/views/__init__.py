"""What people see of a run: progress on a terminal, tables, machines in words, pages and timelines.

``fold`` takes the events of a run into its ``state``, made of things ``seen``, which the terminal, the report and the
dashboard show. Views read only events, receipts and run directories.
"""
