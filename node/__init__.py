"""One process: configuration, composition, command line, metrics, health, shutdown. The only place that knows everybody."""
