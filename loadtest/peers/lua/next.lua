-- Gives the longest waiting visitor to the online agent who holds least.
-- ARGV: capacity. Returns visitor, agent and the room so far, or false when nobody waits or is free.
local capacity = tonumber(ARGV[1])
if redis.call('LLEN', 'waiting') == 0 then return false end
for _, agent in ipairs(redis.call('ZRANGEBYSCORE', 'load', '-inf', capacity - 1)) do
  if redis.call('SISMEMBER', 'online', agent) == 1 then
    local visitor = redis.call('LPOP', 'waiting')
    redis.call('SET', 'enquiry:' .. visitor, agent)
    redis.call('ZINCRBY', 'load', 1, agent)
    redis.call('SADD', 'holds:' .. agent, visitor)
    return { visitor, agent, redis.call('LRANGE', 'room:' .. visitor, 0, -1) }
  end
end
return false
