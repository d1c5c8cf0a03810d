"""Answers for people: in the terminal, later as plots and pages."""
