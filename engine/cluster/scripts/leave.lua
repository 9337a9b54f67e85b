-- Forgets a node that has stopped.
--
-- KEYS  1 nodes by when they were last heard   2 what is known of each
-- ARGV  1 node
-- Gives {"left", 0, ""}
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return { 'left', 0, '' }
