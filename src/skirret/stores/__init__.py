"""One server's connection and layout each: what its broker, result backend and coordination share."""
