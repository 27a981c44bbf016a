"""How well rules find people: `make quality` writes docs/quality.md."""
