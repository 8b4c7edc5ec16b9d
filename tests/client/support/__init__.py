"""What the tests stand on: the server, the client, and real databases to read."""
