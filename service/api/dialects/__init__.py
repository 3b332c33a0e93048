"""Other services' APIs, so that their clients can use this one: a file for each."""
