"""Pure: what an airport's history is, how it is judged, tuned, promoted. No I/O, no clock, no environment."""
