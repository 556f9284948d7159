//! What the tests stand on: a server on free ports ([`TestApp`]), callers, and a private PostgreSQL.

mod app;
pub mod caller;
pub mod events;
mod inngest;
pub mod postgres;
mod program;
mod schema;
mod sql;
mod wire;

pub use app::{INNGEST_EVENT_KEY, Options, TestApp};
pub use caller::{Created, Fault, TestCaller, create_params};
pub use events::{Event, WEBHOOK_SECRET, sign_now};
pub use inngest::{FakeInngest, Mood};
pub use postgres::Cluster;
pub use program::program;
pub use schema::{check_notification, document};
pub use sql::{Refused, Sql};
pub use wire::{PATIENCE, Reply, Socket, Wire};

/// Nothing is kept here that a loss of power could take.
const POSTGRES_SETTINGS: &str = "-c fsync=off -c max_connections=500";

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

/// Writes each test twice, once for each database: `on_both! { async fn name(app: TestApp) { … } }`. With
/// `(app: TestApp, Options { … })` the server is started with those options.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($app:ident: TestApp $(, $options:expr)?) $body:block)*) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run($crate::harness::Database::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                run($crate::harness::Database::Postgres).await;
            }

            $(#[$meta])*
            async fn run(database: $crate::harness::Database) {
                #[allow(unused_mut, unused_assignments)]
                let mut options = $crate::harness::Options::default();
                $(options = $options;)?
                let $app = $crate::harness::TestApp::start(database, options).await;
                $body
                #[allow(unreachable_code)]
                $app.stop().await;
            }
        }
    )* };
}
pub(crate) use on_both;
