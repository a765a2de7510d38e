"""What people see of a run: progress on a terminal, tables, machines in words. Views read only events and receipts."""
