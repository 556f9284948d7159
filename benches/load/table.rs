//! The main table: how many of each operation a second, how long each takes, and how long at half of that rate.

use super::{
    Options, Summary,
    driver::{Figures, Load},
    median,
    stage::{Operation, Stage},
};

/// A line of the table: what is measured, on which of the loaded ledgers.
const LINES: [(&str, Operation, Ledger); 7] = [
    ("getPaymentStatus", Operation::Status, Ledger::Many),
    ("list, first page", Operation::List, Ledger::Many),
    ("stats, many agencies", Operation::Stats, Ledger::Many),
    ("stats, few agencies", Operation::Stats, Ledger::Few),
    // Writes come last: what they add would be in the way of the reads.
    ("createPaymentTask, with the provider call", Operation::Create, Ledger::Many),
    ("webhook, duplicate", Operation::Duplicate, Ledger::Many),
    ("webhook, each new", Operation::Webhook, Ledger::Many),
];

/// Over how many agencies the payments of a ledger are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ledger {
    Many,
    Few,
}

/// Measures every line on every database, one after the other, as often as asked for.
pub async fn measure(many: &mut [Stage], few: &mut [Stage], options: &Options) -> Summary {
    let mut found: Vec<Vec<[Figures; 2]>> = vec![Vec::new(); LINES.len() * many.len()];
    for _ in 0..options.rounds {
        for (line, (what, operation, ledger)) in LINES.into_iter().enumerate() {
            for database in 0..many.len() {
                let stage = match ledger {
                    Ledger::Many => &mut many[database],
                    Ledger::Few => &mut few[database],
                };
                eprintln!("{what}, {}", stage.name);
                let load =
                    Load { connections: options.connections, duration: options.duration(), rate: None };
                let peak = stage.measure(operation, load, options.events).await;
                let half = Load { rate: Some(peak.rate() / 2.0), ..load };
                let half = stage.measure(operation, half, options.events).await;
                found[line * many.len() + database].push([peak, half]);
            }
        }
    }
    let mut rows = Vec::new();
    for (index, rounds) in found.iter().enumerate() {
        let (what, _, ledger) = LINES[index / many.len()];
        let stage = match ledger {
            Ledger::Many => &many[index % many.len()],
            Ledger::Few => &few[index % many.len()],
        };
        let of = |which: usize, figure: &dyn Fn(&Figures) -> f64| {
            median(rounds.iter().map(|round| figure(&round[which])).collect())
        };
        rows.push(vec![
            what.to_owned(),
            stage.name.clone(),
            (stage.size.rows / stage.size.agencies).to_string(),
            format!("{:.0}", of(0, &Figures::rate)),
            format!("{:.2}", of(0, &|f| f.quantile_ms(0.5))),
            format!("{:.2}", of(0, &|f| f.quantile_ms(0.99))),
            format!("{:.2}", of(1, &|f| f.quantile_ms(0.5))),
            format!("{:.2}", of(1, &|f| f.quantile_ms(0.99))),
            rounds.iter().flatten().map(|figures| figures.refused).sum::<usize>().to_string(),
        ]);
    }
    Summary {
        title: format!(
            "{} payments, {} connections, median of {} rounds of {} s",
            many[0].size.rows, options.connections, options.rounds, options.seconds
        ),
        head: [
            "operation",
            "database",
            "rows an agency",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "p50 ms at half",
            "p99 ms at half",
            "refused",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}
