-- Put jobs that were accepted before those that were accepted earlier.
--
-- KEYS   1 recent:<tenant>
-- ARGV   1 how many to keep   2 seconds to keep them   3… the snapshots as messages, in the order of their acceptance
--
-- Run by RedisRecent.

redis.call('LPUSH', KEYS[1], unpack(ARGV, 3))
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
