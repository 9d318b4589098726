"""A package of your own: mlq asks nothing of it."""
