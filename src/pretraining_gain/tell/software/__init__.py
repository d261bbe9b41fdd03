"""Report the cost and speed of runs, and how they survive faults."""
