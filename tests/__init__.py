"""The tests, the lab and the measurements."""
