"""Pages and figures of the book, made from entries and results; `openqueues.book` puts them together."""
