-- Still to be sent to Inngest. Set by the insert itself, in the transaction that accepts the event, so that no event
-- that commits late is passed over; never set where Inngest is not configured, and then the index stays empty.
alter table processed_events add column unsent boolean not null default false;
create index processed_events_unsent on processed_events (received_at) where unsent;

-- Bodies that are kept though nobody waits for them: of dead and quarantined events. They go after 30 days.
create index processed_events_old_bodies on processed_events (received_at)
  where body is not null and due_at is null;

-- How far each agency's journal has been sent to Inngest: the sequence of the last row. No rows where Inngest is not
-- configured.
create table inngest_cursors (
  agency_id uuid not null constraint inngest_cursors_key primary key
    constraint inngest_cursors_agency references agencies,
  sequence bigint not null constraint inngest_cursors_sequence_not_negative check (sequence >= 0),
  -- Whoever has waited longest goes first.
  moved_at timestamptz not null
);
