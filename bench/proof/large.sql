-- SPDX-License-Identifier: MIT
CREATE TABLE sale (id INTEGER PRIMARY KEY, day INTEGER, customer TEXT, amount INTEGER);
CREATE TABLE customer (name TEXT PRIMARY KEY, city TEXT, note TEXT);
INSERT INTO customer WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
  SELECT 'customer ' || i, 'city ' || i * 17 % 211, substr('some words about whoever it is that buys here', 1, 5 + i % 35) FROM n;
INSERT INTO sale WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
  SELECT i, i * 104729 % 365, 'customer ' || (1 + i * 613 % 9000), i * 7 % 991 FROM n;
CREATE INDEX by_customer ON sale (customer, day);
SELECT city, count(*), sum(amount) FROM sale JOIN customer ON customer = name GROUP BY city ORDER BY 3 DESC LIMIT 9;
UPDATE sale SET amount = amount + day WHERE day % 5 = 1;
DELETE FROM sale WHERE day < 120;
SELECT count(*), max(customer), sum(amount) FROM sale;
