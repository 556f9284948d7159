//! What the jobs of a group leave to be written and do not wait for: what is left in a round goes as one statement.
//!
//! A line gives a form's name and what it is made with; the forms themselves are in `sets::write`. Such a write goes well,
//! or the whole group fails. PostgreSQL makes the parts of one statement as if all at once: none sees what another has done,
//! and of two that change one row, one would be lost. So the forms stand under the rows that they write, and a job's second
//! post for the same rows waits for the next round; the locks of a group keep its jobs off each other's rows. Only a parked
//! event can be woken by two jobs at once, by its intent and by its session, and once is enough.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
};
use diesel_async::RunQueryDsl;

use super::{
    Conn,
    requests::Requests,
    sets::{self, Posted},
    together::Seat,
};
use crate::{domain::*, error::Error, ledger::rows::*};

macro_rules! posts {
    ($($rows:ident { $($name:ident($with:ty);)* })*) => {
        /// What is to be written, by kind, with the job that left it.
        #[derive(Default)]
        pub struct Posts {
            $($($name: Vec<(usize, $with)>,)*)*
        }

        impl Seat {
            $($(pub async fn $name(&self, with: $with) -> Result<(), Error> {
                let is_there = |requests: &Requests| requests.posts.$rows(self.index);
                self.post(is_there, |posts| posts.$name.push((self.index, with))).await
            })*)*
        }

        impl Posts {
            $(/// Whether this job writes any of these rows.
            fn $rows(&self, index: usize) -> bool {
                $(self.$name.iter().any(|one| one.0 == index))||*
            })*

            /// Whether anything is this job's.
            pub fn has_any_of(&self, index: usize) -> bool {
                $(self.$rows(index))||*
            }

            /// Whether there is nothing.
            pub fn is_empty(&self) -> bool {
                $($(self.$name.is_empty())&&*)&&*
            }

            /// Writes it; says whose it was.
            pub async fn write(self, mut connection: &Conn) -> QueryResult<Vec<usize>> {
                let mut writers = Vec::new();
                $($(let $name = rows(self.$name, &mut writers);)*)*
                let mut parts: Vec<(&str, Box<dyn Posted + '_>)> = Vec::new();
                $($(if !$name.is_empty() {
                    parts.push((stringify!($name), Box::new(sets::$name(&$name))));
                })*)*
                AtOnce(parts).execute(&mut connection).await.map(|_| writers)
            }
        }
    };
}

posts! {
    intents {
        insert_intent(IntentRow);
        update_intent(IntentRow);
    }
    todos {
        complete_todo((AgencyId, HostId, String, Timestamp));
    }
    tasks {
        pay_task((AgencyId, HostId, PaymentId, Timestamp));
    }
    payments {
        update_payment(PaymentRow);
    }
    sessions {
        insert_session(SessionRow);
        update_session(SessionRow);
    }
    journal {
        insert_audit(AuditRow);
    }
    parked_events {
        wake_events_of_intent((IntentId, Timestamp));
        wake_events_of_session((SessionId, Timestamp));
    }
    new_events {
        insert_event(EventRow);
    }
}

fn rows<A>(posted: Vec<(usize, A)>, writers: &mut Vec<usize>) -> Vec<A> {
    let (by, rows): (Vec<usize>, Vec<A>) = posted.into_iter().unzip();
    writers.extend(by);
    rows
}

/// Statements as parts of one, under their names. Its text, which says what is in it, is what it is prepared under.
struct AtOnce<'a>(Vec<(&'static str, Box<dyn Posted + 'a>)>);

impl QueryId for AtOnce<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for AtOnce<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Some(((_, last), others)) = self.0.split_last() else { return Ok(()) };
        for (number, (name, part)) in others.iter().enumerate() {
            out.push_sql(if number == 0 { "with " } else { ", " });
            out.push_sql(name);
            out.push_sql(" as (");
            part.walk_ast(out.reborrow())?;
            out.push_sql(") ");
        }
        last.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        // No part has a text that depends on values.
        Ok(true)
    }
}
