"""A package for pytest, which ends what all of these tests share with the last of them (see `conftest`)."""
