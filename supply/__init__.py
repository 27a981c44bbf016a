"""What Matchbit is built from and how it is published: locks, audit, release."""
