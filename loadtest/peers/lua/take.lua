-- A visitor wrote. Keeps the message in the room, and finds who answers: the owner, else the online
-- agent who holds least and less than the capacity, else nobody yet (the visitor waits in line).
-- ARGV: visitor, message (JSON), capacity. Returns the agent ('' = waiting) and 1 if just assigned.
local visitor, message, capacity = ARGV[1], ARGV[2], tonumber(ARGV[3])
redis.call('RPUSH', 'room:' .. visitor, message)
redis.call('LTRIM', 'room:' .. visitor, -50, -1)
local owner = redis.call('GET', 'enquiry:' .. visitor)
if owner then return { owner, 0 } end
for _, agent in ipairs(redis.call('ZRANGEBYSCORE', 'load', '-inf', capacity - 1)) do
  if redis.call('SISMEMBER', 'online', agent) == 1 then
    redis.call('SET', 'enquiry:' .. visitor, agent)
    redis.call('ZINCRBY', 'load', 1, agent)
    redis.call('SADD', 'holds:' .. agent, visitor)
    return { agent, 1 }
  end
end
redis.call('SET', 'enquiry:' .. visitor, '')
redis.call('RPUSH', 'waiting', visitor)
return { '', 0 }
