-- SIP users in the table "extensions", which the switch makes beside its call records and reads with extensions-dsn.
--
--   psql -d cdr -v domain=sip.example.com -f seed_sip_users.sql
--
-- makes the users 1000 to 1019 of that domain, each with a password of its own, and shows them once: hand them out from
-- there. No password is written here. Users that are there already keep theirs, so that it can be run again.
--
--   -v first=2000 -v last=2049    other numbers
--   -v context=office             the dialplan context of their calls (default)
--
-- One user, with a password that you choose and type (psql asks for it, and it stays out of the shell's history):
--
--   \prompt 'password: ' password
--   INSERT INTO extensions (extension, domain, password) VALUES ('1000', 'sip.example.com', :'password')
--     ON CONFLICT (extension, domain) DO UPDATE SET password = excluded.password;
--
-- With a1_hash instead of password (md5 of extension:domain:password) no password is stored in clear:
--
--   UPDATE extensions SET a1_hash = md5(extension || ':' || domain || ':' || password), password = NULL;
--
-- In SQLite (mod_cdr_sqlite), with sqlite3:
--
--   INSERT INTO extensions (extension, domain, password) VALUES ('1000', 'sip.example.com', lower(hex(randomblob(16))))
--     RETURNING extension, password;

\set ON_ERROR_STOP on
\if :{?domain}
\else
  \echo 'Which domain? psql -v domain=sip.example.com -f seed_sip_users.sql'
  DO $$ BEGIN RAISE EXCEPTION 'no domain'; END $$;
\endif
\if :{?first}
\else
  \set first 1000
\endif
\if :{?last}
\else
  \set last 1019
\endif
\if :{?context}
\else
  \set context default
\endif

-- gen_random_uuid() takes its 122 random bits from the same source as keys (PostgreSQL 13 and later).
INSERT INTO extensions (extension, domain, password, caller_id_name, caller_id_number, context, vm_password)
SELECT number::text, :'domain', replace(gen_random_uuid()::text, '-', ''), 'Extension ' || number, number::text, :'context',
       lpad((('x' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 7))::bit(28)::int % 1000000)::text, 6, '0')
FROM generate_series(:first, :last) AS number
ON CONFLICT (extension, domain) DO NOTHING
RETURNING extension, domain, password, vm_password;
