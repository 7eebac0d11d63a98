"""What people test their tasks with, and the exam for brokers, backends and coordination of their own."""
