"""What a worker tells monitors: noted on the supervisor's loop at almost no cost, written and sent by a thread."""
