"""Pages and figures of the book, made from entries and their results. `openqueues.book` puts them together."""
