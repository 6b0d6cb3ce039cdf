"""Which shards of something a process has, of the processes that share them out."""
