//! The parts that touch neither disk nor socket: signature, event, the fold over facts, a page as JSON, cursors.

use std::{collections::BTreeMap, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use quittance::{
    calmony::{
        event::Event,
        signature::{SIGNATURE_HEADER, sign, verify},
    },
    domain::{
        AgencyId, AttemptBest, HostId, IntentId, OneLine, PaymentId, PaymentMethod, PaymentStatus,
        PaymentType, Pence, Timestamp,
        lifecycle::{Evidence, Facts, Recorded, Report, Reported, audit_steps, diff},
    },
    ledger::tables::ShownPayment,
    pagination::{Cursor, Limit, List, Page},
    payment::Payment,
};
use secrecy::SecretString;
use serde_json::json;

const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

/// A webhook's body of about 1 kB, as the provider sends them.
fn body() -> Vec<u8> {
    json!({
        "id": "evt_0123456789abcdef01234567", "object": "event", "api_version": "2024-11-01", "created": 1_764_000_000,
        "livemode": false, "type": "payment_intent.succeeded", "pending_webhooks": 1,
        "request": { "id": "req_0123456789abcdef", "idempotency_key": "0197f3a0-0000-7000-8000-000000000001" },
        "data": { "object": {
            "id": "pi_0123456789abcdef01234567", "object": "payment_intent", "amount": 125_000, "currency": "gbp",
            "amount_received": 125_000, "status": "succeeded", "capture_method": "automatic",
            "description": "Move-in balance for tenancy", "payment_method": "pm_0123456789abcdef",
            "payment_method_types": ["card", "open_banking"], "receipt_email": "tenant@example.com",
            "latest_charge": "ch_0123456789abcdef", "created": 1_764_000_000,
            "metadata": { "ledger_id": "0197f3a0-0000-7000-8000-000000000001", "attempt": 1 },
        } },
    })
    .to_string()
    .into_bytes()
}

fn webhook(c: &mut Criterion) {
    let body = body();
    let now = chrono::Utc::now();
    let mut headers = HeaderMap::new();
    let signature = sign(SECRET, now.timestamp_millis(), &body);
    headers.insert(SIGNATURE_HEADER, HeaderValue::from_str(&signature).expect("a header"));
    let secrets = [SecretString::from(SECRET)];
    let mut group = c.benchmark_group("webhook");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("verify the signature", |b| {
        b.iter(|| verify(black_box(&headers), black_box(&body), &secrets, now).expect("genuine"));
    });
    group.bench_function("parse the event", |b| b.iter(|| Event::parse(black_box(&body)).expect("an event")));
    group.finish();
}

/// What happens to the facts of a pending payment when its money comes.
fn fold(c: &mut Criterion) {
    let amount = Pence::new(125_000).expect("pence");
    let facts = Facts {
        attempts: BTreeMap::from([(1, AttemptBest::Pending)]),
        ..Facts::new(PaymentId::new(), amount)
    };
    let evidence = Evidence {
        intent: IntentId::parse("pi_0123456789abcdef01234567"),
        attempt: Some(1),
        amount: Reported::Pence(amount),
        currency: Some("gbp".into()),
        report: Report::Succeeded,
    };
    c.bench_function("facts/record a success and decide", |b| {
        b.iter(|| {
            let mut after = black_box(&facts).clone();
            after.record(black_box(&evidence));
            assert_eq!(after.status(), PaymentStatus::Succeeded);
            let rows = audit_steps(Recorded::Evidence, &facts, &after);
            (rows, after.completes_todo(), after.task_paid_by(), after.refunded(), diff(&facts, &after))
        });
    });
}

fn row() -> ShownPayment {
    let id = PaymentId::new();
    let now = id.made_at();
    ShownPayment {
        id,
        agency_id: AgencyId::new(),
        status: PaymentStatus::Succeeded,
        payment_type: PaymentType::MoveInBalance,
        method: PaymentMethod::Card,
        method_forced: false,
        amount_pence: Pence::new(125_000).expect("pence"),
        currency: "GBP".into(),
        description: OneLine::parse("Move-in balance for 12 Mill Lane").expect("a text"),
        tenancy_id: HostId::parse("ten-1234"),
        todo_id: HostId::parse("todo-1234"),
        custom_payment_task_id: None,
        manually_paid: false,
        manual_payment_reference: None,
        payment_intent_id: IntentId::parse("pi_0123456789abcdef01234567"),
        paid_at: Some(now),
        failure_reason: None,
        refunded_pence: Pence::ZERO,
        refunded_at: None,
        open_anomalies: 0,
        created_by: "Ada Agent".into(),
        created_at: now,
        updated_at: now,
        link_url: None,
        link_expires_at: None,
    }
}

fn pages(c: &mut Criterion) {
    let rows: Vec<_> = std::iter::repeat_with(row).take(21).collect();
    let key = |row: &ShownPayment| Cursor::of_id(List::Payments, row.id.0);
    c.bench_function("page/20 payments as JSON", |b| {
        b.iter_batched(
            || rows.clone(),
            |rows| {
                let page = Page::of(rows, Limit::default(), key, Payment::from);
                serde_json::to_string(&page).expect("JSON")
            },
            criterion::BatchSize::SmallInput,
        );
    });
    let cursor = serde_json::to_string(&Cursor::of_id(List::Payments, PaymentId::new().0)).expect("JSON");
    c.bench_function("cursor/encode", |b| {
        let id = PaymentId::new();
        b.iter(|| serde_json::to_string(&Cursor::of_id(List::Payments, black_box(id.0))).expect("JSON"));
    });
    c.bench_function("cursor/decode", |b| {
        b.iter(|| {
            let cursor: Cursor = serde_json::from_str(black_box(&cursor)).expect("a cursor");
            cursor.id(List::Payments).expect("of this list")
        });
    });
    let todo = HostId::parse("todo-1234").expect("an id");
    c.bench_function("cursor/of a time and an id", |b| {
        let now = Timestamp::now();
        b.iter(|| serde_json::to_string(&Cursor::of_host(List::Todos, black_box(now), &todo)).expect("JSON"));
    });
}

criterion_group!(benches, webhook, fold, pages);
criterion_main!(benches);
