"""What was asked for, counted for aggregators; and what they have counted, for operators and estimates."""
