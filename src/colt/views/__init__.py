"""What people see of a run: progress on a terminal, tables, machines in words. Fed by events and receipts only."""
