"""Scorers of TVM schedules: the analytical model applied to traces, and the learned cost model."""
