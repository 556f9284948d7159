-- PostgreSQL's side of the functions that `rows.sql` and `webhooks.sql` are written with. On SQLite, `functions.rs`
-- registers the same ones. They live in a schema of their own, which goes when the work is done.
create schema if not exists load_rows;

-- SHA-256 of a text, as hex: where every number and id that looks random comes from.
create or replace function load_rows.digest(text) returns text language sql immutable as
  $$ select encode(sha256(convert_to($1, 'UTF8')), 'hex') $$;
create or replace function load_rows.hash_of(text) returns bytea language sql immutable as
  $$ select sha256(convert_to($1, 'UTF8')) $$;
-- The first 28 bits of a digest.
create or replace function load_rows.number(text) returns bigint language sql immutable as
  $$ select ('x' || substr($1, 1, 7))::bit(28)::int::bigint $$;
-- A UUIDv7 of this millisecond, its other bits from a digest.
create or replace function load_rows.uuid_v7(bigint, text) returns uuid language sql immutable as
  $$ select (lpad(to_hex($1), 12, '0') || '7' || substr($2, 1, 3) || '8' || substr($2, 4, 15))::uuid $$;
create or replace function load_rows.time_of(bigint) returns timestamptz language sql stable as
  $$ select timestamptz 'epoch' + $1 * interval '1 millisecond' $$;
create or replace function load_rows.json_of(text) returns jsonb language sql immutable as
  $$ select $1::jsonb $$;
create or replace function load_rows.text_of(uuid) returns text language sql immutable as
  $$ select $1::text $$;
