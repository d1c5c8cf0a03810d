"""Raw telemetry to columns and counts, by the native core; nothing here knows of evidence."""
