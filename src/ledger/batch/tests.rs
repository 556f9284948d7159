//! The engine beside a model of a database.

mod exhaustive;
mod faults;
mod jobs;
mod loads;
mod model;
mod order;
mod programs;
mod storms;
