"""`sluice-admin doctor`: looks at everything that must be right, and says what is wrong and what to do about it.

Each module examines one thing and only reads. An examination returns findings; what it cannot look at it says as such.
"""
