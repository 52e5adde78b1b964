"""The engine: one loop that trains 1 to K trials over one frozen backbone. Plain torch."""
