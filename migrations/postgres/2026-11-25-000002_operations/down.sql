drop table inngest_cursors;
drop index processed_events_old_bodies;
drop index processed_events_unsent;
alter table processed_events drop column unsent;
