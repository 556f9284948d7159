//! Every statement, by subject. Written once and compiled for each database: `Conn` and `Db` are those of the
//! file that mounts this folder, and so are `VERSION` and the macros `for_update!` and `for_update_skip_locked!`.

pub mod agencies;
pub mod anomalies;
pub mod audit;
pub mod events;
pub mod forwarding;
pub mod intents;
pub mod payments;
pub mod sessions;
pub mod tasks;
pub mod todos;
pub mod tokens;
pub mod totals;

use super::{Conn, Db, VERSION};
