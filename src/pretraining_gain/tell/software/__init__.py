"""What runs cost, how fast they are, and how they survive faults."""
