-- An enquiry ends: its slot is free again. ARGV: visitor. Returns whose it was, or false.
local visitor = ARGV[1]
local owner = redis.call('GET', 'enquiry:' .. visitor)
if not owner then return false end
redis.call('DEL', 'enquiry:' .. visitor, 'room:' .. visitor)
if owner == '' then
  redis.call('LREM', 'waiting', 1, visitor)
else
  redis.call('ZINCRBY', 'load', -1, owner)
  redis.call('SREM', 'holds:' .. owner, visitor)
end
return owner
