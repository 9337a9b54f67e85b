-- Says that a node lives, forgets who has not for too long, and tells who does.
--
-- KEYS  1 nodes by when they were last heard (ms, this server's time)   2 what is known of each
-- ARGV  1 node   2 its weight   3 "1": it is leaving   4 after how long a silent one is forgotten (ms)
--       5 how many are told at most
-- Gives {node, weight, leaving, lived (ms), ...}, four for each that lives
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local silent = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[4]), 'LIMIT', 0, 100)
for _, node in ipairs(silent) do
  redis.call('ZREM', KEYS[1], node)
  redis.call('HDEL', KEYS[2], node)
end
local before = redis.call('HGET', KEYS[2], ARGV[1])
local joined, left = string.match(before or '', '^(%d+) %d+ (%d)$')
if not joined or (left == '1' and ARGV[3] == '0') then
  -- Who would rather have had nothing begins anew: what the others have now it is given once it has lived a while.
  joined = string.format('%d', now)
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], joined .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
local live = redis.call('ZREVRANGE', KEYS[1], 0, tonumber(ARGV[5]) - 1)
local known = redis.call('HMGET', KEYS[2], unpack(live))
local told = {}
for at, node in ipairs(live) do
  local since, weight, leaving = string.match(known[at] or '', '^(%d+) (%d+) (%d)$')
  if since then
    table.insert(told, node)
    table.insert(told, weight)
    table.insert(told, leaving)
    table.insert(told, string.format('%d', math.max(0, now - tonumber(since))))
  end
end
return told
