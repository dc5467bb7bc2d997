-- SPDX-License-Identifier: MIT
CREATE TABLE item (id INTEGER PRIMARY KEY, place INTEGER, name TEXT, note TEXT);
INSERT INTO item WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  SELECT i, i * 7919 % 1009, 'name ' || i * 31 % 4001, substr('a note that is longer than most of the others', 1, i % 40) FROM n;
CREATE INDEX by_place ON item (place, name);
SELECT place % 7, count(*), max(name), group_concat(substr(note, 1, 2), '') > 'b' FROM item GROUP BY place % 7;
DELETE FROM item WHERE id % 3 = 0;
SELECT count(*), sum(length(name)) FROM item JOIN (SELECT place AS other FROM item LIMIT 300) ON place = other;
