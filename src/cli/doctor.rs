//! `quittance doctor`: is everything as the server needs it? One line a check, with what to do about it.
//!
//! It looks with the server's own eyes: the same settings, the same client of the provider, the same database. It
//! changes nothing but pending migrations, as every command does, and one row of `jobs` by which it knows that the
//! database takes writes.

use std::fmt::Display;

use futures_util::FutureExt;
use serde::Serialize;
use serde_json::json;

use super::{
    command::{Outcome, open_existing, print, story},
    serve,
};
use crate::{
    calmony::client::{CallFault, Client, Probe},
    config::{Calmony, CalmonyArgs, DatabaseArgs, SHORT_SECRET_BYTES, ServerArgs, is_public},
    domain::Timestamp,
    inngest,
    ledger::{DatabaseUrl, Ledger},
};

/// A webhook's signature is good for so long; with a clock further off than this none is accepted.
const MAX_CLOCK_OFFSET_SECONDS: i64 = 300;
/// From here on a clock is worth a look: it should be kept by NTP, which is a thousand times better.
const WORRYING_CLOCK_OFFSET_SECONDS: i64 = 30;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do about it.
    fix: Option<String>,
}

impl Check {
    fn ok(check: &'static str, found: impl Display) -> Self {
        Self { check, state: State::Ok, found: found.to_string(), fix: None }
    }

    fn warning(check: &'static str, found: impl Display, fix: &str) -> Self {
        Self { check, state: State::Warning, found: found.to_string(), fix: Some(fix.into()) }
    }

    fn failed(check: &'static str, found: impl Display, fix: &str) -> Self {
        Self { check, state: State::Failed, found: found.to_string(), fix: Some(fix.into()) }
    }

    fn line(&self) -> String {
        let word = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "FAILED",
        };
        let fix = self.fix.as_deref().map(|fix| format!("\n{:21}fix: {fix}", "")).unwrap_or_default();
        format!("{word:8} {:12}{}{fix}", self.check, self.found)
    }
}

/// Runs every check, prints what it found, and fails where one failed.
pub async fn run(database: DatabaseArgs, args: ServerArgs, calmony: CalmonyArgs) -> Outcome {
    let settings = calmony.check();
    let mut checks = vec![configuration(&settings, &args)];
    checks.extend(settings.as_ref().ok().map(secrets));
    checks.push(database_check(&database).await);
    if let Ok(settings) = &settings {
        checks.extend(provider(settings).await);
    }
    checks.push(public_url(&args));
    checks.extend(inngest(&args).await);

    let failed: Vec<_> =
        checks.iter().filter(|check| check.state == State::Failed).map(|c| c.check).collect();
    print(json!({ "ok": failed.is_empty(), "checks": checks }), || {
        checks.iter().map(Check::line).collect::<Vec<_>>().join("\n")
    });
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn configuration(settings: &Result<Calmony, String>, args: &ServerArgs) -> Check {
    let faults = [settings.as_ref().err().cloned(), args.inngest.check().err()];
    match faults.into_iter().flatten().reduce(|one, other| format!("{one}; {other}")) {
        None => Check::ok("settings", "every required variable is set"),
        Some(fault) => {
            Check::failed("settings", fault, "set the variable; `quittance serve --help` describes each")
        }
    }
}

fn secrets(settings: &Calmony) -> Check {
    match settings.short_secrets() {
        names if names.is_empty() => {
            Check::ok("secrets", format!("all of at least {SHORT_SECRET_BYTES} bytes"))
        }
        names => Check::warning(
            "secrets",
            format!("shorter than {SHORT_SECRET_BYTES} bytes: {}", names.join(", ")),
            "use the secrets that Calmony Pay issues; short ones can be guessed",
        ),
    }
}

async fn database_check(database: &DatabaseArgs) -> Check {
    let fix = "see that DATABASE_URL names the right database, that it runs, and that this user may write to it; \
               `quittance migrate` makes a new one ready";
    let examined = async {
        let (kind, open) = match database.url()? {
            DatabaseUrl::Sqlite(path) => {
                (format!("SQLite, {}", path.display()), open_existing(database).await?)
            }
            DatabaseUrl::Postgres(_) => ("PostgreSQL".to_owned(), open_existing(database).await?),
        };
        examine(&open, &kind).await
    };
    match examined.await {
        Ok(found) => Check::ok("database", found),
        Err(why) => Check::failed("database", why, fix),
    }
}

/// Reads the version, and commits a row: a full disk or a read-only standby shows nowhere else.
async fn examine(ledger: &Ledger, kind: &str) -> Result<String, String> {
    let look = ledger.read(|tx| async move { tx.database_version().await }.boxed());
    let version = look.await.map_err(story)?;
    let now = Timestamp::now();
    let write = ledger.write(move |tx| async move { tx.lock_job("doctor", now).await }.boxed());
    write.await.map_err(story)?;
    Ok(format!("{kind}, version {version}: migrated, takes writes"))
}

/// Two checks from one answer: whether Calmony Pay takes our key, and whether the clocks agree.
async fn provider(settings: &Calmony) -> Vec<Check> {
    let Calmony { api_url, secret_key, webhook_secrets: _ } = settings;
    let probe = match Client::new(api_url.clone(), secret_key.clone(), 1.0) {
        Ok(client) => client.probe().await.map_err(|fault| match fault {
            CallFault::Unknown { why } => why,
            refused @ CallFault::Rejected { .. } => refused.to_string(),
        }),
        Err(error) => Err(error.to_string()),
    };
    match probe {
        Ok(probe) => vec![answered(&probe), clock(&probe)],
        Err(why) => vec![Check::failed(
            "provider",
            format!("Calmony Pay does not answer: {why}"),
            "see that CALMONY_PAY_API_URL is right and that this machine may reach it (DNS, firewall, proxy)",
        )],
    }
}

fn answered(probe: &Probe) -> Check {
    let Probe { status, speaks, date: _ } = probe;
    match status.as_u16() {
        // Nobody has the session that was asked for; that we are told so means that the key was taken.
        404 if *speaks => Check::ok("provider", "Calmony Pay answers and takes the key"),
        200 => Check::ok("provider", "Calmony Pay answers and takes the key"),
        401 | 403 => Check::failed(
            "provider",
            format!("Calmony Pay refuses the key ({status})"),
            "set CALMONY_PAY_SECRET_KEY to a key that is in force",
        ),
        404 | 300..=399 => Check::failed(
            "provider",
            format!("what answers there is not Calmony Pay's API ({status})"),
            "set CALMONY_PAY_API_URL to the API's address, /v1 included",
        ),
        429 | 500.. => Check::failed(
            "provider",
            format!("Calmony Pay is there, but has trouble ({status})"),
            "wait and look again; payments asked for meanwhile are taken up later",
        ),
        _ => Check::failed(
            "provider",
            format!("an answer that can't be understood ({status})"),
            "see that CALMONY_PAY_API_URL is the API's address",
        ),
    }
}

fn clock(probe: &Probe) -> Check {
    let fix = "keep this machine's clock by NTP";
    let Some(date) = probe.date else {
        return Check::warning("clock", "Calmony Pay's answer has no date to compare with", fix);
    };
    let offset = (Timestamp::now().to_utc() - date.to_utc()).num_seconds();
    let word = if offset < 0 { "behind" } else { "ahead of" };
    let found = format!("{} s {word} Calmony Pay's", offset.abs());
    match offset.abs() {
        seconds if seconds > MAX_CLOCK_OFFSET_SECONDS => {
            Check::failed("clock", format!("{found}: no webhook's signature can be accepted"), fix)
        }
        seconds if seconds > WORRYING_CLOCK_OFFSET_SECONDS => Check::warning("clock", found, fix),
        _ => Check::ok("clock", "agrees with Calmony Pay's"),
    }
}

fn public_url(args: &ServerArgs) -> Check {
    let fix = "set QUITTANCE_PUBLIC_URL to the https address at which a tenant's browser reaches the companion \
               listener (and QUITTANCE_RETURN_URL, if set, to a public https page): Calmony Pay refuses others";
    match (&args.public_url, args.return_url(args.webhook_addr)) {
        (None, _) => Check::failed("public URL", "QUITTANCE_PUBLIC_URL is not set", fix),
        (Some(url), _) if !is_public(url) => {
            Check::failed("public URL", format!("{url} is not public https"), fix)
        }
        (Some(_), Ok(back)) if !is_public(&back) => {
            Check::failed("public URL", format!("QUITTANCE_RETURN_URL {back} is not public https"), fix)
        }
        (Some(url), Ok(_)) => Check::ok("public URL", format!("{url} is public https")),
        (Some(_), Err(why)) => Check::failed("public URL", why, fix),
    }
}

/// Sends no events at all, which is enough to be told whether the key is known.
async fn inngest(args: &ServerArgs) -> Option<Check> {
    let client = serve::inngest(args).ok()??;
    Some(match client.send(&[]).await {
        Ok(()) => Check::ok("Inngest", "answers and takes the key"),
        Err(fault @ inngest::SendFault::WrongKey(_)) => {
            Check::failed("Inngest", fault, "set INNGEST_EVENT_KEY to a key of the environment that is meant")
        }
        // Some versions refuse an empty list; that is an answer, too.
        Err(inngest::SendFault::Status(status)) if status.as_u16() == 400 => Check::ok("Inngest", "answers"),
        Err(fault @ (inngest::SendFault::Status(_) | inngest::SendFault::Unreachable(_))) => Check::failed(
            "Inngest",
            fault,
            "see that INNGEST_BASE_URL is right and that this machine may reach it; events wait meanwhile",
        ),
    })
}
