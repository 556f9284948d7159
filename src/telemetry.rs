//! Logs to stderr, metrics for Prometheus. Set up once per process.

use std::{io::IsTerminal, sync::OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::LogFormat;

/// Buckets of every duration, in seconds: from what a read takes to what a call may take at most.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What would log the bodies and rows it carries, past `info`.
const WRITE_BODIES: &[&str] = &[
    "hyper",
    "jsonrpsee",
    "jsonrpsee-http",
    "jsonrpsee-server",
    "jsonrpsee_core",
    "jsonrpsee_server",
    "tokio_postgres",
];

/// Starts logging. Pretty on a terminal, else one JSON object a line.
pub fn start_logs(filter: &str, format: Option<LogFormat>) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // No body and no row belongs in a log, however much is asked for.
    let wordy = filter.max_level_hint().is_none_or(|level| level > LevelFilter::INFO);
    let caps = WRITE_BODIES.iter().filter(|_| wordy).flat_map(|target| format!("{target}=info").parse());
    let filter = caps.fold(filter, EnvFilter::add_directive);
    let on_terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if on_terminal { LogFormat::Pretty } else { LogFormat::Json });
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    // Fails only where a subscriber is set already, as in a test.
    let _ = match format {
        LogFormat::Pretty => registry.with(layer.with_ansi(on_terminal).with_target(false)).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true).with_span_list(false)).try_init(),
    };
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
