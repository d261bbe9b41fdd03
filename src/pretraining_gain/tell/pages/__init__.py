"""The pages of the book: how Sphinx makes them of chapters and executed notebooks, what each shows beside its text, and the PDF."""
