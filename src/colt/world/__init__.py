"""Everything that is not a function of the plan enters a run here: live, from a recording, or first one and then the
other."""
