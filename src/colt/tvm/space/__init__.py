"""The design space of one program: knobs from traces, edits, and schedules carried out in TVM."""
