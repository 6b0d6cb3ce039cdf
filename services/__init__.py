"""The services. They never import each other; they meet in topics, documents and cache keys declared in `shared`."""
