"""What a run leaves on disk: directory, journal, receipt, and what it has worked out."""
