"""One process: configuration, composition, command line, metrics, health. The only place that knows everybody."""
