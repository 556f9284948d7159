//! Two servers on one PostgreSQL, all of the other drills at once, no webhooks from the provider, statements failing:
//! the same rules hold.
//!
//! Then every gap once more, both servers killed in it; there alone, since what it holds would hold up all others.

use std::sync::Arc;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{every_gap, fold, gap, keys, kill, races, rules, silence, site::Site};

pub async fn run(site: Arc<Site>, size: usize, mut dice: StdRng) -> String {
    let mut die = || StdRng::seed_from_u64(dice.random());
    let (dice_of_fold, dice_of_kill, dice_of_gap, dice_of_races, dice_of_every_gap) =
        (die(), die(), die(), die(), die());
    fold::break_statements(&site).await;
    let (folded, killed, gaps, silent, raced, keyed) = tokio::join!(
        fold::act(&site, size * 40, dice_of_fold),
        kill::act(&site, size * 6, dice_of_kill),
        gap::act(&site, size * 3, dice_of_gap),
        silence::act(&site, size * 20),
        races::act(&site, size * 40, dice_of_races),
        keys::act(&site, size),
    );
    fold::mend_statements(&site).await;
    if size == 1 {
        site.end_leases().await;
    }
    let mut told = vec![silence::verify(&site, silent).await];
    rules::check(&site).await;
    told.push(fold::verify(&site, folded).await);
    told.push(kill::verify(&site, killed).await);
    told.push(gap::verify(&site, gaps).await);
    told.push(races::verify(&site, raced).await);
    told.push(keys::verify(&site, keyed).await);
    told.push(every_gap::run(Arc::clone(&site), 1, dice_of_every_gap).await);
    told.join("; ")
}
