"""What a run leaves on disk: directory, journal, receipt."""
