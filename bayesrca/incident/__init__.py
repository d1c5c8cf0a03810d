"""What happened: components, topology, signals, events and windows of one incident."""
