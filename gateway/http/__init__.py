"""HTTP from the socket to Flask: the server, the head of a request, the gate before every application."""
