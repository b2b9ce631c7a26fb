"""The doctor for SGLang: facts from a machine or a log, rules over facts, causes and fixes from rules."""

__version__ = "0.1.0"
