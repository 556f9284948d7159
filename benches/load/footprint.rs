//! What the server takes besides time: memory, a moment to start, and disk.

use std::time::Duration;

use super::{
    Options, Summary,
    driver::{Load, drive},
    median,
    requests::webhook,
    stage::{Operation, Stage},
};

/// Connections under which memory is looked at.
const MEMORY_CONNECTIONS: usize = 64;
/// How long a server is left alone before it counts as idle.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Starts that are timed.
const STARTS: usize = 7;
/// Payments made and paid to see what one takes.
const GROWN_BY: usize = 5_000;

/// Measures all of it on each database.
pub async fn measure(stages: Vec<Stage>, options: &Options) -> (Vec<Stage>, Summary) {
    let (mut kept, mut rows) = (Vec::new(), Vec::new());
    for stage in stages {
        eprintln!("start, memory and growth, {}", stage.name);
        let (mut stage, started_ms) = start(stage);
        let (idle, loaded) = memory(&mut stage, options).await;
        let bytes = growth(&mut stage, options).await;
        let mib = |figure: Option<f64>| figure.map_or("-".to_owned(), |mib| format!("{mib:.1}"));
        rows.push(vec![
            stage.name.clone(),
            format!("{started_ms:.0}"),
            mib(idle),
            mib(loaded),
            format!("{bytes:.0}"),
        ]);
        kept.push(stage);
    }
    let head = [
        "database",
        "start on an existing database, ms",
        "memory idle, MiB",
        "most memory, 64 connections, MiB",
        "disk per payment, bytes",
    ];
    let head = head.map(str::to_owned).to_vec();
    (kept, Summary { title: "Footprint".into(), head, rows })
}

/// From the start of the process to the listeners accepting, in ms.
fn start(mut stage: Stage) -> (Stage, f64) {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (restarted, time) = stage.restart();
        stage = restarted;
        times.push(time.as_secs_f64() * 1_000.0);
    }
    (stage, median(times))
}

/// Resident memory of the server's process: after a quiet second, and at its highest under every operation.
async fn memory(stage: &mut Stage, options: &Options) -> (Option<f64>, Option<f64>) {
    tokio::time::sleep(SETTLED_AFTER).await;
    let idle = stage.server.memory_mib().map(|(now, _)| now);
    let load = Load { connections: MEMORY_CONNECTIONS, duration: options.duration(), rate: None };
    for operation in [
        Operation::Status,
        Operation::List,
        Operation::Stats,
        Operation::Create,
        Operation::Webhook,
        Operation::Duplicate,
    ] {
        stage.measure(operation, load, options.events).await;
    }
    (idle, stage.server.memory_mib().map(|(_, most)| most))
}

/// Bytes on disk per payment that was asked for, linked to nothing and paid: its row, its session, its intent, its
/// event, two rows of the audit log, and the indexes of all of them.
async fn growth(stage: &mut Stage, options: &Options) -> f64 {
    stage.loader.until_numbered().await;
    let before = stage.loader.bytes().await;
    let (rpc, companion) = (stage.server.rpc, stage.server.webhook);
    let load = Load { connections: options.connections, duration: Duration::from_secs(600), rate: None };
    let mut left = GROWN_BY;
    let mut create = || {
        left = left.checked_sub(1)?;
        Some(stage.samples.create("growth"))
    };
    drive(rpc, load, &mut create).await;
    let made = stage
        .loader
        .lines(
            "select text_of(id) || ' ' || amount_pence as line from payments_ledger \
             where description = 'Payment of run growth' and status = 'pending'",
        )
        .await;
    let mut events = made.iter().enumerate().map(|(k, line)| {
        let (id, amount) = line.split_once(' ').expect("an id and an amount");
        let pair = (id.to_owned(), format!("pi_growth_{k:020}"));
        webhook("growth", k, &pair, amount.parse().expect("pence"))
    });
    let paid = drive(companion, load, &mut || events.next()).await;
    assert_eq!(paid.answered(), GROWN_BY, "every payment was paid");
    stage.loader.until_numbered().await;
    let after = stage.loader.bytes().await;
    (after - before) as f64 / GROWN_BY as f64
}
