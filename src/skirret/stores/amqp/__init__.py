"""One RabbitMQ server as its clients here share it: frames, lines, sessions. The broker and rpc results sit on it."""
