"""What each panel of a report shows, as charts and tables: functions of what was seen of a run."""
