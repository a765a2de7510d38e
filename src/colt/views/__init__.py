"""What people see of a run: progress on a terminal, tables, machines in words, pages and timelines.

``state`` folds the events of a run into what the terminal, the report and the dashboard show. Views read only events,
receipts and run directories.
"""
