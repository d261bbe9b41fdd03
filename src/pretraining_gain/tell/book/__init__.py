"""What notebooks hand to the book, and how the book is built from it."""
