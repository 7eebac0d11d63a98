"""What the exams of this folder share."""
