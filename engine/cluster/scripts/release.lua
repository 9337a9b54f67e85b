-- Ends a lease, or keeps it for the node that is to be next.
--
-- KEYS  1 the lease: "<epoch> <holder>" or "<epoch> >node that is to be next", expires
--       2 the epoch, never expires
-- ARGV  1 holder   2 how long it is kept for the next one (ms)   3 the holder's epoch
--       4 the next one's name, or ""
-- Gives {"released", epoch, the next one}
--       {"lost", 0, ""}                   it was not the holder's any more; or a newer epoch was given out
--                                         before a late reassertion, and the lease ends by itself
local known = tonumber(redis.call('GET', KEYS[2]) or '0')
if redis.call('GET', KEYS[1]) ~= ARGV[3] .. ' ' .. ARGV[1] or known > tonumber(ARGV[3]) then
  return { 'lost', 0, '' }
end
if ARGV[4] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[3] .. ' >' .. ARGV[4], 'PX', ARGV[2])
end
return { 'released', tonumber(ARGV[3]), ARGV[4] }
