"""COLT inside stock MetaSchedule: strategy, builder, runner, records; and MetaSchedule's own search for comparison."""
