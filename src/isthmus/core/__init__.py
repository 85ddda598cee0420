"""The decisions, as plain functions of plain values: no clock, no network, no logging."""
