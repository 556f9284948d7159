//! How cost grows with the ledger: the same questions to ledgers of several sizes, all in one agency, in turn.

use std::net::SocketAddr;

use quittance::pagination::{Cursor, List};
use serde_json::{Value, json};

use super::{
    Options, Summary,
    driver::Load,
    median,
    rows::{Database, Size},
    stage::{Operation, Stage},
};

/// Requests on one connection for one figure.
const ASKED: usize = 300;
/// What every page that is asked for holds.
const A_ROW: &str = r#""items":[{"id":"#;
/// How deep a page lies: the part of all rows that are newer.
const DEPTHS: [(&str, i64); 3] = [("first page", 0), ("middle", 50), ("far", 70)];

/// Loads the sizes, measures all of them in turn, and compares the last with the first.
pub async fn measure(databases: &[Database], options: &Options, provider: SocketAddr) -> Vec<Summary> {
    let mut summaries = Vec::new();
    for database in databases {
        let mut stages = Vec::new();
        for rows in &options.scale {
            stages.push(Stage::set(*database, Size { rows: *rows, agencies: 1 }, provider).await);
        }
        let reads = reads(&mut stages, options).await;
        let writes = writes(&mut stages, options).await;
        let sizes: Vec<String> = options.scale.iter().map(|rows| format!("{rows} rows")).collect();
        let head: Vec<String> =
            [String::new()].into_iter().chain(sizes).chain(["last / first".to_owned()]).collect();
        for (what, rows) in [("p50 in ms on one connection", reads), ("writes a second", writes)] {
            let title =
                format!("{}, one agency: {what}, median of {} rounds", stages[0].name, options.rounds);
            summaries.push(Summary { title, head: head.clone(), rows });
        }
        for stage in stages {
            stage.server.stop();
        }
    }
    summaries
}

async fn reads(stages: &mut [Stage], options: &Options) -> Vec<Vec<String>> {
    let filters = [
        ("no filter", json!({})),
        ("status, 1 in 10", json!({ "status": "pending" })),
        ("status, 1 in 100", json!({ "status": "refunded" })),
        ("type", json!({ "paymentType": "custom" })),
        ("status and type, 1 in 130", json!({ "status": "failed", "paymentType": "custom" })),
    ];
    let mut lines: Vec<(String, Option<(Value, i64)>)> = Vec::new();
    for (depth, part) in DEPTHS {
        for (filter, params) in &filters {
            lines.push((format!("list, {filter}, {depth}"), Some((params.clone(), part))));
        }
    }
    lines.push(("list, tenancy".into(), Some((json!({ "tenancyId": "ten-7" }), 0))));
    lines.push(("stats".into(), None));
    let mut found = vec![vec![Vec::new(); stages.len()]; lines.len()];
    for _ in 0..options.rounds {
        for (line, (what, page)) in lines.iter().enumerate() {
            eprintln!("{what}, {}", stages[0].name);
            for (size, stage) in stages.iter_mut().enumerate() {
                let figures = match page {
                    Some((params, part)) => {
                        let mut params = params.clone();
                        if *part > 0 {
                            let n = stage.size.rows * (100 - part) / 100;
                            let id = stage.loader.payment_id(stage.size, n).await;
                            let id = uuid::Uuid::parse_str(&id).expect("an id");
                            params["cursor"] = json!(Cursor::of_id(List::Payments, id));
                        }
                        stage.ask(ASKED, || stage.samples.page(1, params.clone(), A_ROW)).await
                    }
                    None => stage.ask(ASKED, || stage.samples.stats()).await,
                };
                found[line][size].push(figures.quantile_ms(0.5));
            }
        }
    }
    let names = lines.into_iter().map(|(what, _)| what);
    names.zip(found).map(|(what, sizes)| compared(what, sizes, 3)).collect()
}

async fn writes(stages: &mut [Stage], options: &Options) -> Vec<Vec<String>> {
    let lines = [("createPaymentTask", Operation::Create), ("webhook, each new", Operation::Webhook)];
    let load = Load { connections: options.connections, duration: options.duration(), rate: None };
    let mut found = vec![vec![Vec::new(); stages.len()]; lines.len()];
    for _ in 0..options.rounds {
        for (line, (what, operation)) in lines.into_iter().enumerate() {
            eprintln!("{what}, {}", stages[0].name);
            for (size, stage) in stages.iter_mut().enumerate() {
                found[line][size].push(stage.measure(operation, load, options.events).await.rate());
            }
        }
    }
    lines.into_iter().zip(found).map(|((what, _), sizes)| compared(what.to_owned(), sizes, 0)).collect()
}

/// A line of a table: the median of each size, and how the last compares with the first.
fn compared(what: String, sizes: Vec<Vec<f64>>, digits: usize) -> Vec<String> {
    let medians: Vec<f64> = sizes.into_iter().map(median).collect();
    let ratio = medians.last().zip(medians.first()).map_or(f64::NAN, |(last, first)| last / first);
    let figures = medians.iter().map(|figure| format!("{figure:.digits$}"));
    [what].into_iter().chain(figures).chain([format!("{ratio:.2}")]).collect()
}
