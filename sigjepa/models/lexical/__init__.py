"""The parts of a student that scores words, names and vectors; each is a summand of the score."""
