//! Logs to stderr, metrics for Prometheus. Set up once per process.
//!
//! Neither may hold up work. Lines wait in a queue for a thread that writes them; where nobody reads stderr the queue
//! fills, and further lines are dropped and counted. Metrics that nobody fetches are folded together from time to time.

use std::{
    io::IsTerminal,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::MissedTickBehavior;
use tracing::Metadata;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, filter_fn},
    fmt,
    layer::{Filter, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::LogFormat;

/// Buckets of every duration, in seconds: from what a read takes to what a call may take at most.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Lines that wait to be written: some seconds of a busy server, and a few MiB.
const LOG_LINES_WAITING_MAX: usize = 8_192;

/// How often metrics are folded and dropped lines are looked for.
pub const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The end of the thread that writes the log; taken by [`finish_logs`].
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Counts the lines that were dropped.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// Starts logging. Pretty on a terminal, else one JSON object a line. Returns at once, whoever reads the log or not.
pub fn start_logs(directives: &str, format: Option<LogFormat>) {
    let (filter, wrong) = filter(directives);
    let on_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LOG_LINES_WAITING_MAX);
    let (writer, guard) = queue.thread_name("log").finish(std::io::stderr());
    let dropped = writer.error_counter();
    let layer = fmt::layer().with_writer(writer);
    let layer = match format {
        LogFormat::Pretty => layer.with_ansi(on_terminal).with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // Fails only where a subscriber is set already, as in a test.
    if tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_ok() {
        *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        let _ = DROPPED.set(dropped);
        // The default one writes to stderr itself, and would wait there for a reader.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
    if let Some(why) = wrong {
        tracing::warn!(why, "RUST_LOG is not understood; logging at info");
    }
}

/// Gives the lines that wait a moment to be written. Nothing is logged after it.
pub fn finish_logs() {
    let guard = WRITER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if DROPPED.get().map_or(0, ErrorCounter::dropped_lines) == 0 {
        // Waits for the writer, a second at most.
        drop(guard);
    } else {
        // The queue may be full, which the guard would complain of on stdout.
        std::mem::forget(guard);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What these directives ask for, as far as it may be shown, and what is wrong with them.
fn filter<S>(directives: &str) -> (impl Filter<S> + use<S>, Option<String>)
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let parsed = EnvFilter::try_new(directives);
    let wrong = parsed.as_ref().err().map(ToString::to_string);
    let asked = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    (asked.and(filter_fn(shows_no_secret).with_max_level_hint(LevelFilter::TRACE)), wrong)
}

/// Whether what logs here may be shown at all. Libraries log what they carry from `debug` on: bodies, headers, rows,
/// parameters. No directive shows that, however exactly it names its target; our own code logs no secret.
fn shows_no_secret(metadata: &Metadata<'_>) -> bool {
    let (ours, target) = (env!("CARGO_PKG_NAME"), metadata.target());
    let is_ours = target.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    is_ours || *metadata.level() <= tracing::Level::INFO
}

/// The process's metrics. The recorder is global, so servers that share a process share it.
pub fn metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new();
        let matcher = Matcher::Suffix("_seconds".into());
        let recorder = match builder.set_buckets_for_metric(matcher, DURATION_BUCKETS) {
            Ok(builder) => builder.build_recorder(),
            Err(_) => PrometheusBuilder::new().build_recorder(),
        };
        let handle = recorder.handle();
        // Fails only where a recorder is set already; then this one stays empty.
        let _ = metrics::set_global_recorder(recorder);
        handle
    };
    HANDLE.get_or_init(install).clone()
}

/// Folds what was measured into its buckets, so that it takes no more memory when nobody fetches it, and tells how many
/// lines of the log were dropped. Never ends.
pub async fn upkeep(handle: PrometheusHandle, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        ticks.tick().await;
        handle.run_upkeep();
        let dropped = DROPPED.get().map_or(0, ErrorCounter::dropped_lines);
        if dropped > told {
            told = dropped;
            metrics::counter!("quittance_log_lines_dropped_total").absolute(dropped as u64);
            // Where this line is dropped as well, it is one more, and is said again.
            tracing::warn!(dropped, "lines of this log were dropped: nobody read it fast enough");
        }
    }
}

#[cfg(test)]
mod tests;
