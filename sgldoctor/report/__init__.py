"""The report: one object, its formats, and the redaction that everything passes before it leaves."""
