"""Lessons that run: `python -m demos` lists them, `python -m demos NAME` runs one.

Each lesson is one file that reads as an example, and a function: `demos.mechanics.run()`.
"""
