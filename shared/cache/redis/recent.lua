-- Put an accepted job before those that were accepted earlier.
--
-- KEYS   1 recent:<tenant>
-- ARGV   1 the snapshot as a message   2 how many to keep   3 seconds to keep them
--
-- Run by RedisRecent.add.

redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
