"""Jobs: accepting them once, telling their state, holding who waits, and what can be done with them."""
