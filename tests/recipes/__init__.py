"""CONTRIBUTING.md followed to the letter: what a newcomer writes, step by step, and which tests say what is missing.

Steps of one number are taken for all recipes at once (`tests/test_recipes.py`), so that few runs of the checks tell.

keeping.py  a noun of which copies are kept, its migration, and a job
every.py    all recipes, and what they run last
serving.py  an operation, a page, a setting, a metric, a port
step.py     steps and edits as data
telling.py  events, and a command
"""
