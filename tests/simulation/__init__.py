"""The book driven by dice beside a model that knows nothing of its code; in short by the tests, at length by hand."""
