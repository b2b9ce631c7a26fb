"""Rules: data that selects facts and log events, and what that makes of them: findings.

``schema`` says what a rule is, ``load`` reads rules (built-in ones from a compiled cache), ``lint`` judges a rule file,
``select`` applies rules. No module here reads a machine, a log or a report.
"""
