"""What is remembered, found by its meaning: vectors of episodes, a derived index that can be made again at any time."""
