-- SPDX-License-Identifier: MIT
-- Tables of so many records with strings, replaced in part over and over: heap.lua RECORDS SEED
local records, seed = tonumber(arg[1]), tonumber(arg[2])
local function draw(limit)
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed // 65536 % limit
end

local kept = {}
for n = 1, records do
  kept[n] = { name = "record " .. draw(1000000), tags = { draw(10), draw(100), "t" .. n } }
end
for n = 1, records do
  kept[draw(records) + 1] = { name = ("x"):rep(draw(200)), tags = { n } }
end
local length = 0
for _, record in ipairs(kept) do length = length + #record.name end
print(#kept, length)
