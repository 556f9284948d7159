//! What a directive may show, and that measuring takes no memory. That a log nobody reads holds up nothing is shown
//! by a real process, in `tests/it/process.rs`.

use std::sync::{Arc, Mutex};

use tracing_subscriber::layer::Context;

use super::*;

/// Remembers what would have been logged, as (target, level).
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<(String, tracing::Level)>>>);

impl<S: tracing::Subscriber> Layer<S> for Shown {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        self.0.lock().unwrap().push((metadata.target().to_owned(), *metadata.level()));
    }
}

#[test]
fn no_directive_shows_what_libraries_carry() {
    for directives in [
        "trace",
        "debug,hyper=trace",
        "hyper::proto::h1=trace,jsonrpsee-server=trace,tokio_postgres::connection=debug",
        "reqwest=trace,rustls=trace,h2=trace,diesel=trace,soketto=trace,quittance=trace",
    ] {
        let shown = Shown::default();
        let subscriber = tracing_subscriber::registry().with(shown.clone().with_filter(filter(directives).0));
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "hyper::proto::h1", "a body");
            tracing::debug!(target: "jsonrpsee-server", "a token");
            tracing::debug!(target: "tokio_postgres::connection", "a row");
            tracing::trace!(target: "reqwest::connect", "a header");
            tracing::debug!(target: "rustls::client", "a key");
            tracing::trace!(target: "h2::codec", "a frame");
            tracing::debug!(target: "diesel", "a parameter");
            tracing::trace!(target: "soketto", "a message");
            tracing::debug!(target: "quittance_of_another", "not ours");
            tracing::warn!(target: "hyper::proto::h1", "it went wrong");
            tracing::debug!(target: "quittance::inbox", "ours");
        });
        let shown = shown.0.lock().unwrap().clone();
        let loud = shown
            .iter()
            .filter(|(target, level)| *level > tracing::Level::INFO && target != "quittance::inbox");
        assert_eq!(loud.count(), 0, "{directives}: {shown:?}");
        assert_eq!(
            shown.iter().any(|(target, _)| target == "quittance::inbox"),
            !directives.contains("jsonrpsee")
        );
    }
}

#[test]
fn directives_that_are_no_directives_are_told_and_replaced() {
    let (filter, wrong) = filter("quittance=loud");
    assert!(wrong.is_some());
    let shown = Shown::default();
    let subscriber = tracing_subscriber::registry().with(shown.clone().with_filter(filter));
    tracing::subscriber::with_default(subscriber, || tracing::info!(target: "quittance", "ready"));
    assert_eq!(shown.0.lock().unwrap().len(), 1);
}

/// Bytes of this process that are in memory.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_fetches_takes_no_memory() {
    const MEASUREMENTS: usize = 20_000_000;
    let recorder = PrometheusBuilder::new().build_recorder();
    let upkeep = tokio::spawn(upkeep(recorder.handle(), Duration::from_millis(5)));
    let before = resident_bytes();
    tokio::task::spawn_blocking(move || {
        metrics::with_local_recorder(&recorder, || {
            let histogram = metrics::histogram!("call_seconds");
            (0..MEASUREMENTS).for_each(|n| histogram.record(n as f64));
        });
    })
    .await
    .unwrap();
    let grown = resident_bytes().saturating_sub(before);
    upkeep.abort();
    // Each takes 8 bytes until it is folded.
    assert!(grown < MEASUREMENTS * 8 / 2, "{} MiB", grown / 1024 / 1024);
}
