-- Agencies 1 to {agencies}, each with one admin's token, made on the day before the first payment.
insert into agencies (id, name, max_card_payment_pence, created_at)
with recursive numbers (a) as (
  select cast(1 as bigint) union all select a + 1 from numbers where a < {agencies})
select uuid_v7({agencies_at} + a, digest('agency-' || a)), 'Agency ' || a, 200000, time_of({agencies_at} + a)
from numbers;

insert into tokens (id, agency_id, role, actor, sha256, created_at)
with recursive numbers (a) as (
  select cast(1 as bigint) union all select a + 1 from numbers where a < {agencies})
select uuid_v7({agencies_at} + a, digest('token-' || a)), uuid_v7({agencies_at} + a, digest('agency-' || a)), 'admin',
  'admin-' || a, hash_of('qt_' || digest('token-' || a)), time_of({agencies_at} + a)
from numbers;
