//! The statements that are no form, by subject. Written once and compiled for each database: `Conn` and `Db` are those of
//! the file that mounts this folder, and so are `VERSION` and the macros `for_update_skip_locked!` and `is_one_of!`.

pub mod agencies;
pub mod anomalies;
pub mod audit;
pub mod events;
pub mod outbox;
pub mod payments;
pub mod sequencing;
pub mod sessions;
pub mod tasks;
pub mod totals;

use super::{Conn, Db, VERSION};
