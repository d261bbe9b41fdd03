"""Hand results from notebooks to the book, and build it."""
