"""Being here puts this folder on the path, so that ``networks`` is found by the tests in the folders below."""
