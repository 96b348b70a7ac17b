"""What the benchmarks of sending stand on: throw-away databases, mail servers, rows and deployments."""
