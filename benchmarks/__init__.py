"""What Divan costs over the raw clients: see README.md beside this file."""
