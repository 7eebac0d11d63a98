"""What each client library for RabbitMQ costs: by this Skirret chose how it speaks AMQP."""
