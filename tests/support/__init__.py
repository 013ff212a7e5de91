"""What the tests of all packages share; every source distribution takes it along."""
