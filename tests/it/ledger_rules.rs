//! The rules that the databases keep by themselves: every CHECK refuses a row that breaks it, both databases know
//! the same ones, and the audit log is append-only.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;

use crate::harness::{Database, Event, Options, Refused, Sql, TestApp, on_both};

const AMOUNT: i64 = 25_000;

/// A constraint and a change that breaks it and no other. `$now` is a time, `$uuid` a fresh id, `$hash` 32 bytes;
/// `$entry` and `$of_payment` surround the statuses, the amount and the action of an audit row of a payment, `$manual` and
/// `$of_payment` number, reference and what became of a manual payment.
const BROKEN: &[(&str, &str)] = &[
    ("agencies_name_length", "update agencies set name = ''"),
    ("agencies_card_limit_range", "update agencies set max_card_payment_pence = -1"),
    ("agencies_card_limit_range", "update agencies set max_card_payment_pence = 100000000"),
    ("tokens_role_known", "update tokens set role = 'owner'"),
    ("tokens_actor_length", "update tokens set actor = ''"),
    ("tokens_sha256_length", "update tokens set sha256 = $short"),
    ("todos_id_form", "update todos set id = 'a b' where id = 'free'"),
    ("todos_id_form", "update todos set id = '' where id = 'free'"),
    ("todos_title_length", "update todos set title = ''"),
    ("todos_tenancy_form", "update todos set tenancy_id = 'ü'"),
    ("todos_status_known", "update todos set status = 'done' where id = 'free'"),
    ("todos_complete_has_time_and_actor", "update todos set status = 'complete' where id = 'free'"),
    ("todos_complete_has_time_and_actor", "update todos set completed_by = 'x' where id = 'free'"),
    ("custom_payment_tasks_id_form", "update custom_payment_tasks set id = 'a/b' where id = 'free'"),
    ("custom_payment_tasks_title_length", "update custom_payment_tasks set title = ''"),
    ("custom_payment_tasks_amount_range", "update custom_payment_tasks set amount_pence = 0"),
    ("custom_payment_tasks_tenancy_form", "update custom_payment_tasks set tenancy_id = 'a b'"),
    (
        "custom_payment_tasks_status_known",
        "update custom_payment_tasks set status = 'open' where id = 'free'",
    ),
    (
        "custom_payment_tasks_paid_has_time_and_payment",
        "update custom_payment_tasks set status = 'paid' where id = 'free'",
    ),
    ("payments_ledger_version_positive", "update payments_ledger set version = 0"),
    ("payments_ledger_status_known", "update payments_ledger set status = 'paid'"),
    ("payments_ledger_type_known", "update payments_ledger set payment_type = 'rent'"),
    ("payments_ledger_method_known", "update payments_ledger set method = 'cheque'"),
    ("payments_ledger_amount_range", "update payments_ledger set amount_pence = 0"),
    (
        "payments_ledger_amount_range",
        "update payments_ledger set amount_pence = 100000000, limit_applied_pence = null",
    ),
    ("payments_ledger_currency_is_gbp", "update payments_ledger set currency = 'gbp'"),
    ("payments_ledger_description_length", "update payments_ledger set description = ''"),
    ("payments_ledger_tenancy_form", "update payments_ledger set tenancy_id = ''"),
    (
        "payments_ledger_idempotency_key_length",
        "update payments_ledger set idempotency_key = '', params_sha256 = $hash",
    ),
    (
        "payments_ledger_params_sha256_length",
        "update payments_ledger set idempotency_key = 'k', params_sha256 = $short",
    ),
    ("payments_ledger_attempt_positive", "update payments_ledger set latest_attempt = 0"),
    (
        "payments_ledger_manual_reference_length",
        "update payments_ledger set manual_payment_reference = '', manually_paid = true, manual_payments = 1, status = 'succeeded', paid_at = $now",
    ),
    (
        "payments_ledger_refund_reference_length",
        "update payments_ledger set refund_reference = '', refund_marked_at = $now, refund_marked_by = 'x'",
    ),
    (
        "payments_ledger_refund_reason_length",
        "update payments_ledger set refund_reason = '', refund_reference = 'r', refund_marked_at = $now, refund_marked_by = 'x'",
    ),
    (
        "payments_ledger_refunded_not_negative",
        "update payments_ledger set refunded_pence = -1, status = 'succeeded', paid_at = $now",
    ),
    ("payments_ledger_anomalies_not_negative", "update payments_ledger set open_anomalies = -1"),
    ("payments_ledger_idempotency_whole", "update payments_ledger set idempotency_key = 'k'"),
    ("payments_ledger_cancel_mark_whole", "update payments_ledger set cancelled_at = $now"),
    ("payments_ledger_manual_mark_whole", "update payments_ledger set manual_payment_reference = 'r'"),
    (
        "payments_ledger_manual_was_marked",
        "update payments_ledger set manually_paid = true, status = 'succeeded', paid_at = $now",
    ),
    ("payments_ledger_manual_payments_not_negative", "update payments_ledger set manual_payments = -1"),
    ("payments_ledger_refund_mark_whole", "update payments_ledger set refund_reference = 'r'"),
    ("payments_ledger_refund_mark_whole", "update payments_ledger set refund_reason = 'r'"),
    ("payments_ledger_paid_has_time", "update payments_ledger set status = 'succeeded', paid_at = null"),
    (
        "payments_ledger_refunded_has_time",
        "update payments_ledger set status = 'refunded', paid_at = $now, refunded_at = null",
    ),
    ("payments_ledger_reason_only_when_failed", "update payments_ledger set failure_reason = 'x'"),
    ("payments_ledger_forced_is_bank", "update payments_ledger set method_forced = true"),
    (
        "payments_ledger_card_within_limit",
        "update payments_ledger set method = 'card', limit_applied_pence = amount_pence - 1",
    ),
    ("payments_ledger_manual_counts", "update payments_ledger set manually_paid = true, manual_payments = 1"),
    ("payments_ledger_cancelled_by_mark", "update payments_ledger set status = 'cancelled'"),
    ("payments_ledger_refund_of_proof", "update payments_ledger set refunded_pence = 1"),
    ("manual_payments_number_positive", "$manual 0, null, false, null, null, null$of_payment"),
    ("manual_payments_reference_length", "$manual 1, '', false, null, null, null$of_payment"),
    ("manual_payments_reason_length", "$manual 1, null, false, $now, 'x', ''$of_payment"),
    ("manual_payments_withdrawal_whole", "$manual 1, null, false, $now, 'x', null$of_payment"),
    ("manual_payments_withdrawal_whole", "$manual 1, null, false, null, null, 'why'$of_payment"),
    ("manual_payments_refunded_stays", "$manual 1, null, true, $now, 'x', 'why'$of_payment"),
    ("checkout_sessions_attempt_positive", "update checkout_sessions set attempt = 0"),
    ("checkout_sessions_state_known", "update checkout_sessions set state = 'closed'"),
    ("checkout_sessions_best_known", "update checkout_sessions set best = 'succeeded'"),
    ("checkout_sessions_open_is_known", "update checkout_sessions set expires_at = null"),
    ("checkout_sessions_session_whole", "update checkout_sessions set state = 'dead', url = null"),
    ("checkout_sessions_processing_since", "update checkout_sessions set best = 'processing'"),
    ("checkout_sessions_reason_only_when_failed", "update checkout_sessions set failure_reason = 'x'"),
    ("payment_intents_state_known", "update payment_intents set state = 'paid'"),
    ("payment_intents_amount_not_negative", "update payment_intents set amount_pence = -1"),
    ("payment_intents_refunded_not_negative", "update payment_intents set refunded_pence = -1"),
    ("payment_intents_success_has_time", "update payment_intents set succeeded_at = $now"),
    ("payment_intents_mark_of_proof", "update payment_intents set state = 'rejected', refund_marked = true"),
    ("payment_intents_refund_decides", "update payment_intents set state = 'seen', refunded_pence = 1"),
    (
        "processed_events_verdict_known",
        "update processed_events set verdict = 'lost' where verdict <> 'parked'",
    ),
    ("processed_events_parked_is_due", "update processed_events set due_at = null where verdict = 'parked'"),
    ("processed_events_parked_is_due", "update processed_events set due_at = $now where verdict <> 'parked'"),
    ("processed_events_parked_has_body", "update processed_events set body = null where verdict = 'parked'"),
    (
        "processed_events_payment_whole",
        "update processed_events set agency_id = (select id from agencies) where payment_id is null",
    ),
    (
        "processed_events_applied_to_payment",
        "update processed_events set verdict = 'applied', due_at = null where payment_id is null",
    ),
    ("payment_anomalies_kind_known", "update payment_anomalies set kind = 'odd'"),
    ("payment_anomalies_status_known", "update payment_anomalies set status = 'closed'"),
    (
        "payment_anomalies_resolution_known",
        "update payment_anomalies set status = 'resolved', resolution = 'lost', note = 'n', resolved_at = $now, resolved_by = 'x'",
    ),
    (
        "payment_anomalies_note_length",
        "update payment_anomalies set status = 'resolved', resolution = 'other', note = '', resolved_at = $now, resolved_by = 'x'",
    ),
    ("payment_anomalies_resolved_whole", "update payment_anomalies set status = 'resolved'"),
    ("payment_anomalies_resolved_whole", "update payment_anomalies set note = 'n'"),
    ("agency_totals_status_known", "update agency_totals set status = 'paid'"),
    ("agency_totals_payments_not_negative", "update agency_totals set payments = -1"),
    ("agency_totals_pence_not_negative", "update agency_totals set total_pence = -1"),
    (
        "inngest_cursors_sequence_not_negative",
        "insert into inngest_cursors select id, -1, $now from agencies",
    ),
    (
        "audit_log_action_known",
        "insert into audit_log (id, agency_id, action, actor, at, changes) select $uuid, id, 'payment.lost', 'x', $now, '{}' from agencies",
    ),
    (
        "audit_log_statuses_known",
        "insert into audit_log (id, agency_id, from_status, action, actor, at, changes) select $uuid, id, 'paid', 'payment.card_limit_updated', 'x', $now, '{}' from agencies",
    ),
    ("audit_log_statuses_known", "$entry 'pending', 'paid', 1, 'payment.processing'$of_payment"),
    ("audit_log_payment_whole", "$entry 'pending', null, 1, 'payment.processing'$of_payment"),
    ("audit_log_payment_whole", "$entry 'pending', 'processing', null, 'payment.processing'$of_payment"),
    (
        "audit_log_payment_whole",
        "insert into audit_log (id, agency_id, amount_pence, action, actor, at, changes) select $uuid, id, 1, 'payment.card_limit_updated', 'x', $now, '{}' from agencies",
    ),
    ("audit_log_from_unless_created", "$entry null, 'processing', 1, 'payment.processing'$of_payment"),
    ("audit_log_anomaly_moves_nothing", "$entry 'pending', 'processing', 1, 'payment.anomaly'$of_payment"),
    (
        "audit_log_anomaly_moves_nothing",
        "$entry 'pending', 'processing', 1, 'payment.anomaly_resolved'$of_payment",
    ),
    (
        "audit_log_version_whole",
        "insert into audit_log (id, agency_id, version, action, actor, at, changes) select $uuid, id, 7, 'payment.anomaly', 'x', $now, '{}' from agencies",
    ),
    (
        "audit_log_created_comes_first",
        "insert into audit_log (id, agency_id, action, actor, at, changes) select $uuid, id, 'payment.created', 'x', $now, '{}' from agencies",
    ),
];

/// SQLite has no booleans of its own.
const BROKEN_ON_SQLITE: &[(&str, &str)] = &[
    (
        "payments_ledger_method_forced_is_boolean",
        "update payments_ledger set method_forced = 2, method = 'open_banking'",
    ),
    (
        "payments_ledger_manually_paid_is_boolean",
        "update payments_ledger set manually_paid = 2, manual_payments = 1, status = 'succeeded', paid_at = 1",
    ),
    ("manual_payments_refund_marked_is_boolean", "$manual 1, null, 2, null, null, null$of_payment"),
    (
        "payment_intents_refund_marked_is_boolean",
        "update payment_intents set refund_marked = 2, state = 'succeeded', succeeded_at = 1",
    ),
    ("processed_events_unsent_is_boolean", "update processed_events set unsent = 2"),
];

const CHECKS_OF_POSTGRES: &str = "
    select conname as line from pg_constraint
    where contype = 'c' and connamespace = 'public'::regnamespace and conrelid <> 0";
const NAMES_OF_POSTGRES: &str = "
    select conname as line from pg_constraint
    where contype <> 'n' and connamespace = 'public'::regnamespace and conrelid <> 0
      and conrelid <> '__diesel_schema_migrations'::regclass";

const ENTRY: &str = "
    insert into audit_log (id, agency_id, payment_id, version, actor, at, changes, from_status, to_status,
      amount_pence, action)
    select $uuid, agency_id, id, version + 1, 'x', $now, '{}',";

const MANUAL: &str = "
    insert into manual_payments (agency_id, payment_id, marked_at, marked_by, number, reference, refund_marked,
      withdrawn_at, withdrawn_by, withdrawal_reason)
    select agency_id, id, $now, 'x',";

/// A statement with its placeholders as the database writes such values.
fn written(statement: &str, database: Database) -> String {
    let (uuid, now, hash, short) = match database {
        Database::Sqlite => ("randomblob(16)", "1", "randomblob(32)", "randomblob(31)"),
        Database::Postgres => (
            "gen_random_uuid()",
            "now()",
            r"'\x1111111111111111111111111111111111111111111111111111111111111111'::bytea",
            r"'\x11'::bytea",
        ),
    };
    let statement = statement
        .replace("$entry", ENTRY)
        .replace("$manual", MANUAL)
        .replace("$of_payment", " from payments_ledger");
    statement.replace("$uuid", uuid).replace("$now", now).replace("$hash", hash).replace("$short", short)
}

/// The text of SQLite's migrations, with every named constraint in it: SQLite keeps no list of them.
fn constraints_of_sqlite(create_table: &str, of_kind: Option<&str>) -> BTreeSet<String> {
    let words: Vec<_> = create_table.split_whitespace().collect();
    let named = words.windows(3).filter(|words| words[0] == "constraint");
    let of_kind = named.filter(|words| of_kind.is_none_or(|kind| words[2].trim_matches('(') == kind));
    of_kind.map(|words| words[1].to_owned()).collect()
}

async fn constraints(sql: &mut Sql, database: Database, only_checks: bool) -> BTreeSet<String> {
    match database {
        Database::Sqlite => {
            let tables = sql
                .lines("select sql as line from sqlite_master where type = 'table' and sql is not null")
                .await;
            constraints_of_sqlite(&tables.join("\n"), only_checks.then_some("check"))
        }
        Database::Postgres => {
            let query = if only_checks { CHECKS_OF_POSTGRES } else { NAMES_OF_POSTGRES };
            sql.lines(query).await.into_iter().collect()
        }
    }
}

/// At least one row in every table.
async fn fill(app: &TestApp) {
    for (id, title) in [("free", "Nobody's"), ("used", "Somebody's")] {
        app.agent().ok("todo.create", json!({ "id": id, "title": title })).await;
        app.agent().ok("customPaymentTask.create", json!({ "id": id, "title": title })).await;
    }
    let created = app.agent().create_with(json!({ "todoId": "used", "customPaymentTaskId": "used" })).await;
    // Wrong money and an unknown payment: an intent, an anomaly, a parked event; the payment stays pending.
    app.delivered(&Event::succeeded("pi_1", &created.id, AMOUNT + 1)).await;
    app.delivered(&Event::new("payment_intent.succeeded", json!({ "id": "pi_2" }))).await;
    // The audit log's rows get their numbers, and the totals their rows, a little later.
    let mut sql = app.sql().await;
    let unnumbered = "select cast(count(*) as text) as line from audit_log
        where sequence is null and from_status is distinct from to_status";
    while sql.lines(unnumbered).await != ["0"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn audit_log(sql: &mut Sql) -> Vec<String> {
    let id = if matches!(sql, Sql::Sqlite(_)) { "hex(id)" } else { "cast(id as text)" };
    let rows = format!(
        "select {id} || action || actor || coalesce(to_status, '') || cast(changes as text) as line
         from audit_log order by entry"
    );
    sql.lines(&rows).await
}

on_both! {
    async fn every_check_refuses_what_breaks_it(app: TestApp, Options { time_scale: 100.0, ..Options::default() }) {
        fill(&app).await;
        let mut sql = app.sql().await;
        let more = if app.database == Database::Sqlite { BROKEN_ON_SQLITE } else { &[] };
        for (constraint, statement) in BROKEN.iter().chain(more) {
            let statement = written(statement, app.database);
            let refused = sql.run(&statement).await;
            let named = refused.as_ref().err().and_then(|refused| refused.constraint.as_deref());
            assert_eq!(named, Some(*constraint), "{statement}: {refused:?}");
        }
        let tried: BTreeSet<String> = BROKEN.iter().chain(more).map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(constraints(&mut sql, app.database, true).await, tried, "every CHECK is tried");
    }

    async fn both_databases_name_the_same_constraints(app: TestApp) {
        let mut sql = app.sql().await;
        let text = include_str!("../../migrations/sqlite/2026-11-28-000001_ledger/up.sql");
        let mut of_sqlite = constraints_of_sqlite(text, None);
        if app.database == Database::Postgres {
            of_sqlite.retain(|name| BROKEN_ON_SQLITE.iter().all(|(only, _)| only != name));
        }
        assert_eq!(constraints(&mut sql, app.database, false).await, of_sqlite);
        assert!(of_sqlite.len() > 80, "{}", of_sqlite.len());
    }

    async fn the_audit_log_can_not_be_changed(app: TestApp) {
        fill(&app).await;
        let mut sql = app.sql().await;
        let before = audit_log(&mut sql).await;
        assert!(before.len() >= 2);
        let mut attempts = vec![
            "delete from audit_log",
            "update audit_log set actor = 'nobody'",
            "update audit_log set changes = '{\"amountPence\":1}'",
            "update audit_log set to_status = 'succeeded', sequence = 1",
            "update audit_log set id = $uuid",
        ];
        attempts.extend(match app.database {
            Database::Sqlite => &[
                "insert or replace into audit_log
                   select entry, id, agency_id, payment_id, version, action, from_status, to_status, 1, 'nobody',
                     at, request_id, '{}', sequence from audit_log",
                "insert or replace into audit_log
                   select null, $uuid, agency_id, payment_id, version, action, from_status, to_status, 1, 'nobody', at,
                     request_id, '{}', sequence from audit_log where payment_id is not null",
                "update or replace audit_log set actor = 'nobody'",
            ][..],
            Database::Postgres => &["truncate audit_log", "truncate agencies cascade"],
        });
        for attempt in attempts {
            let refused: Refused = sql.run(&written(attempt, app.database)).await.expect_err(attempt);
            assert_eq!(refused.message, "audit_log is append-only", "{attempt}");
            assert_eq!(audit_log(&mut sql).await, before, "{attempt}");
        }
    }

    async fn a_number_is_given_once_and_takes_no_other_rows_place(app: TestApp) {
        fill(&app).await;
        let mut sql = app.sql().await;
        let before = audit_log(&mut sql).await;
        for number in ["999", "null", "sequence + 1"] {
            sql.run(&format!("update audit_log set sequence = {number}")).await.expect_err("they have numbers");
        }
        let unnumbered = "insert into audit_log (id, agency_id, action, actor, at, changes)
            select $uuid, id, 'payment.card_limit_updated', 'x', $now, '{}' from agencies";
        sql.ok(&written(unnumbered, app.database)).await;
        let usurp = match app.database {
            Database::Sqlite => "update or replace audit_log set sequence = 1 where actor = 'x'",
            Database::Postgres => "update audit_log set sequence = 1 where actor = 'x'",
        };
        sql.run(usurp).await.expect_err("the number is taken");
        assert_eq!(audit_log(&mut sql).await[..before.len()], before);
    }

    async fn an_intent_and_an_event_have_one_row_each(app: TestApp) {
        fill(&app).await;
        let mut sql = app.sql().await;
        for table in ["payment_intents", "processed_events", "payment_anomalies", "checkout_sessions"] {
            sql.run(&format!("insert into {table} select * from {table}")).await.expect_err(table);
        }
        let twice = "insert into payments_ledger select * from payments_ledger";
        sql.run(twice).await.expect_err("a payment has one row");
        sql.run("delete from payments_ledger").await.expect_err("its audit log needs it");
    }
}
