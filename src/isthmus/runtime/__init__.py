"""What runs reconcilers: queue, worker, watch, outcome, stores, telemetry. Knows no kind."""
