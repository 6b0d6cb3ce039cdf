"""Firestore: what is true of every job. Protocols (`contract`), the Firestore adapter and its memory version."""
