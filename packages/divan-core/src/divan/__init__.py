"""Keep a program's documents in whichever store its users already run."""
