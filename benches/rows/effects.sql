-- What run {run} has left in the database, in one line: how many payments, custom payment tasks, todos, rows of the audit
-- log, intents and events. After a run each is the number of acknowledged events.
select (select count(*) from payments_ledger p where p.custom_payment_task_id like 'w-{run}-%' and p.todo_id is not null
    and p.status = 'succeeded' and p.paid_at is not null and p.payment_intent_id like 'pi\_w{run}\_%' escape '\')
  || ' ' || (select count(*) from custom_payment_tasks where id like 'w-{run}-%' and status = 'paid')
  || ' ' || (select count(*) from todos where id like 'w-{run}-%' and status = 'complete')
  || ' ' || (select count(*) from audit_log a join payments_ledger p
      on p.agency_id = a.agency_id and p.id = a.payment_id
    where a.action = 'payment.succeeded' and p.custom_payment_task_id like 'w-{run}-%')
  || ' ' || (select count(*) from payment_intents where intent_id like 'pi\_w{run}\_%' escape '\' and state = 'succeeded')
  || ' ' || (select count(*) from processed_events where event_id like 'evt\_{run}\_%' escape '\' and verdict = 'applied')
  as line
