"""Many nodes: their snapshots read one after the other, judged once for each distinct set of facts, and compared.

The order is the file list: sources (files, folders, archives, lines), reduce (what of a fact tells nodes apart),
gather (nodes into groups), drift and launches (what differs), judge (the report). Of a node only its name, its group
and its rank are kept, so that memory hardly grows with their number.
"""
