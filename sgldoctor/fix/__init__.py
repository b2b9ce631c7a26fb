"""Findings to repairs: recipes, plan, confirmation, application, proof, journal, and the way back."""
