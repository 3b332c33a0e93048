"""What a request brings and what bounds it: key, body, labels, deadline, memory."""
