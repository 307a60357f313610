"""What the SDK decides, without I/O, clocks, randomness or botocore."""
