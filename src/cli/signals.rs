//! SIGTERM and SIGINT: they end a command at once, and a server in order.
//!
//! Process 1 of a container has no default handlers, so ours are installed before anything that may wait. They run
//! beside the command, which may be blocking its own thread. Not here: how a server ends.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// Listens for the signals; the command says what they are to do.
#[derive(Clone)]
pub struct Signals(Arc<Mutex<Option<CancellationToken>>>);

impl Signals {
    /// From now on a signal ends the process, under the exit code that shells use for it.
    pub fn listen() -> Result<Self, String> {
        let signals = Self(Arc::new(Mutex::new(None)));
        for (name, kind) in [("SIGTERM", SignalKind::terminate()), ("SIGINT", SignalKind::interrupt())] {
            let told = signal(kind).map_err(|error| format!("{name}: {error}"))?;
            tokio::spawn(signals.clone().wait(told, kind));
        }
        Ok(signals)
    }

    /// From now on a signal cancels this token instead: the server is ready, and ends by itself.
    pub fn stop_server(&self) -> CancellationToken {
        let stopping = CancellationToken::new();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stopping.clone());
        stopping
    }

    async fn wait(self, mut told: Signal, kind: SignalKind) {
        while told.recv().await.is_some() {
            match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                Some(stopping) => {
                    tracing::info!("stopping");
                    stopping.cancel();
                }
                None => {
                    telemetry::finish_logs();
                    std::process::exit(128 + kind.as_raw_value());
                }
            }
        }
    }
}
