"""One module for each kind of action; ``CONTRIBUTING.md`` shows how one is added."""
