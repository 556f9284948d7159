//! Every setting, once: a flag, an environment variable, a default. The only room that reads the environment.
//!
//! Every value goes through [`value`], whether it comes from a flag, the environment or a file: what tools add around a
//! value is removed, and what was surely not meant is refused under the variable's name.

mod value;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum, builder::EnumValueParser};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use value::{Tidied, secret_text, tidied};

use value::{duration, from_file, origins, positive_duration, tidy, time_scale};

use crate::{calmony::client::is_safe_link, ledger::DatabaseUrl, webhook::RETURN_PATH};

/// A secret shorter than this is warned about: 24 bytes are 192 bits at best.
pub const SHORT_SECRET_BYTES: usize = 24;
/// Secrets that may be in force at once: the old, the new, and one to spare.
const MAX_WEBHOOK_SECRETS: usize = 3;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Where the database is, and whether to migrate it.
#[derive(Clone, Debug, Args)]
pub struct DatabaseArgs {
    /// Where the database is: sqlite://PATH or postgres://…
    // Taken as a secret and parsed later: clap would show a wrong value, password and all.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://quittance.db",
        hide_env_values = true,
        value_parser = Tidied(secret_text)
    )]
    pub database_url: SecretString,
    /// Refuse to start where migrations are pending, instead of applying them.
    #[arg(long)]
    pub no_migrate: bool,
}

impl DatabaseArgs {
    /// Where the database is. The error names the variable and not its value, which may hold a password.
    pub fn url(&self) -> Result<DatabaseUrl, String> {
        self.database_url.expose_secret().parse().map_err(|why| format!("DATABASE_URL {why}"))
    }
}

/// Forgets variables of ours that are set to nothing: an empty one counts as not set, as a line `NAME=` in a file of
/// variables is meant.
///
/// # Safety
///
/// No other thread may run yet: the environment is the process's, and has no lock.
pub unsafe fn forget_empty_variables() {
    let ours = |name: &str| {
        ["QUITTANCE_", "CALMONY_PAY_", "INNGEST_"].iter().any(|prefix| name.starts_with(prefix))
            || matches!(name, "DATABASE_URL" | "RUST_LOG")
    };
    for (name, value) in std::env::vars_os() {
        let is_empty = value.to_str().is_some_and(|value| tidy(value) == Ok(""));
        if is_empty && name.to_str().is_some_and(ours) {
            // SAFETY: the caller says that this is the only thread.
            unsafe { std::env::remove_var(&name) };
        }
    }
}

/// How logs are written, and how much.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// What is logged, as in `info,quittance=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info", global = true, value_parser = tidied::<String>())]
    pub log: String,
    /// How it is written; pretty on a terminal, else JSON.
    #[arg(
        long,
        env = "QUITTANCE_LOG_FORMAT",
        global = true,
        value_parser = Tidied(EnumValueParser::<LogFormat>::new())
    )]
    pub log_format: Option<LogFormat>,
}

/// Where the server listens, and how it behaves.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// JSON-RPC.
    #[arg(
        long,
        env = "QUITTANCE_RPC_ADDR",
        default_value = "127.0.0.1:4000",
        value_parser = tidied::<SocketAddr>()
    )]
    pub rpc_addr: SocketAddr,
    /// Webhooks and the tenant's return page.
    #[arg(
        long,
        env = "QUITTANCE_WEBHOOK_ADDR",
        default_value = "127.0.0.1:4001",
        value_parser = tidied::<SocketAddr>()
    )]
    pub webhook_addr: SocketAddr,
    /// Liveness, readiness, metrics.
    #[arg(
        long,
        env = "QUITTANCE_OPS_ADDR",
        default_value = "127.0.0.1:4002",
        value_parser = tidied::<SocketAddr>()
    )]
    pub ops_addr: SocketAddr,
    /// Where a tenant's browser reaches the companion listener; its address unless said.
    #[arg(long, env = "QUITTANCE_PUBLIC_URL", value_parser = tidied::<Url>())]
    pub public_url: Option<Url>,
    /// The platform's own page after checkout; `<public url>/checkout/return` unless said.
    #[arg(long, env = "QUITTANCE_RETURN_URL", value_parser = tidied::<Url>())]
    pub return_url: Option<Url>,
    /// Origins whose pages may call the RPC listener, separated by commas.
    #[arg(
        long,
        env = "QUITTANCE_CORS_ORIGINS",
        default_value = "",
        hide_default_value = true,
        value_parser = Tidied(origins)
    )]
    // Named in full, so that clap takes the list for one value and not each of its parts.
    pub cors_origins: std::vec::Vec<HeaderValue>,
    /// Requests a second per token, bursts of twice that; 0 turns the limit off.
    #[arg(long, env = "QUITTANCE_RATE_LIMIT", default_value_t = 500, value_parser = tidied::<u32>())]
    pub rate_limit: u32,
    /// How long a connection without a request is kept: longer than a load balancer in front keeps its own.
    #[arg(
        long,
        env = "QUITTANCE_KEEP_ALIVE",
        default_value = "75s",
        value_parser = Tidied(positive_duration)
    )]
    pub keep_alive: Duration,
    /// How long the listeners still accept after SIGTERM, while /readyz says 503.
    #[arg(long, env = "QUITTANCE_DRAIN", default_value = "0s", value_parser = Tidied(duration))]
    pub drain: Duration,
    /// Multiplies every waiting time that is no time-out. For drills and tests.
    #[arg(
        long,
        env = "QUITTANCE_JANITOR_TIME_SCALE",
        default_value_t = 1.0,
        value_parser = Tidied(time_scale)
    )]
    pub janitor_time_scale: f64,
    /// Who else is told what happens.
    #[command(flatten)]
    pub inngest: InngestArgs,
}

/// How to speak with Inngest, if at all.
#[derive(Clone, Debug, Args)]
pub struct InngestArgs {
    /// Sends provider events and changes of payments to Inngest under this key; unset, nothing is sent.
    #[arg(long, env = "INNGEST_EVENT_KEY", hide_env_values = true, value_parser = Tidied(secret_text))]
    pub inngest_event_key: Option<SecretString>,
    /// Inngest's event API: https, or http on a loopback address.
    // Taken as a secret and parsed later, as every address that may hold a password.
    #[arg(
        long,
        env = "INNGEST_BASE_URL",
        default_value = "https://inn.gs",
        hide_env_values = true,
        value_parser = Tidied(secret_text)
    )]
    pub inngest_base_url: SecretString,
}

/// How to speak with Inngest, checked.
#[derive(Clone, Debug)]
pub struct Inngest {
    /// The event API.
    pub base_url: Url,
    /// Ours; part of every address, and so of no log.
    pub event_key: SecretString,
}

impl InngestArgs {
    /// Checks what is set; `None` where nothing is to be sent. The error names the variable.
    pub fn check(&self) -> Result<Option<Inngest>, String> {
        let Some(key) = &self.inngest_event_key else { return Ok(None) };
        let event_key = secret("INNGEST_EVENT_KEY", Some(key), None)?;
        let base_url = safe_link(self.inngest_base_url.expose_secret())
            .map_err(|why| format!("INNGEST_BASE_URL {why}"))?;
        Ok(Some(Inngest { base_url, event_key }))
    }
}

/// How to speak with Calmony Pay.
#[derive(Clone, Debug, Args)]
pub struct CalmonyArgs {
    /// Authenticates our requests to Calmony Pay. Required.
    #[arg(
        long,
        env = "CALMONY_PAY_SECRET_KEY",
        hide_env_values = true,
        value_parser = Tidied(secret_text)
    )]
    pub calmony_pay_secret_key: Option<SecretString>,
    /// A file with the secret key, instead.
    #[arg(long, env = "CALMONY_PAY_SECRET_KEY_FILE", value_parser = tidied::<PathBuf>())]
    pub calmony_pay_secret_key_file: Option<PathBuf>,
    /// Validates webhook signatures: 1 to 3 secrets separated by commas, for rotation. Required.
    #[arg(
        long,
        env = "CALMONY_PAY_WEBHOOK_SECRET",
        hide_env_values = true,
        value_parser = Tidied(secret_text)
    )]
    pub calmony_pay_webhook_secret: Option<SecretString>,
    /// A file with the webhook secrets, instead.
    #[arg(long, env = "CALMONY_PAY_WEBHOOK_SECRET_FILE", value_parser = tidied::<PathBuf>())]
    pub calmony_pay_webhook_secret_file: Option<PathBuf>,
    /// Calmony Pay's API: https, or http on a loopback address.
    #[arg(
        long,
        env = "CALMONY_PAY_API_URL",
        default_value = "https://api.calmonypay.com/v1",
        hide_env_values = true,
        value_parser = Tidied(secret_text),
    )]
    pub calmony_pay_api_url: SecretString,
}

/// How to speak with Calmony Pay, checked.
#[derive(Clone, Debug)]
pub struct Calmony {
    /// The API.
    pub api_url: Url,
    /// Ours.
    pub secret_key: SecretString,
    /// Theirs; any may have signed.
    pub webhook_secrets: Arc<[SecretString]>,
}

impl CalmonyArgs {
    /// Checks what must be there. The error names the variable.
    pub fn check(&self) -> Result<Calmony, String> {
        let secret_key = secret(
            "CALMONY_PAY_SECRET_KEY",
            self.calmony_pay_secret_key.as_ref(),
            self.calmony_pay_secret_key_file.as_ref(),
        )?;
        let name = "CALMONY_PAY_WEBHOOK_SECRET";
        let listed = secret(
            name,
            self.calmony_pay_webhook_secret.as_ref(),
            self.calmony_pay_webhook_secret_file.as_ref(),
        )?;
        let secrets: Vec<&str> = listed.expose_secret().split(',').map(str::trim).collect();
        if secrets.len() > MAX_WEBHOOK_SECRETS || secrets.iter().any(|secret| secret.is_empty()) {
            return Err(format!("{name} must hold 1 to 3 secrets separated by commas, none of them empty"));
        }
        let webhook_secrets = secrets.into_iter().map(SecretString::from).collect();
        let api_url = safe_link(self.calmony_pay_api_url.expose_secret())
            .map_err(|why| format!("CALMONY_PAY_API_URL {why}"))?;
        Ok(Calmony { api_url, secret_key, webhook_secrets })
    }
}

impl Calmony {
    /// The variables whose secrets are weak.
    pub fn short_secrets(&self) -> Vec<&'static str> {
        let short = |secret: &SecretString| secret.expose_secret().len() < SHORT_SECRET_BYTES;
        let key = short(&self.secret_key).then_some("CALMONY_PAY_SECRET_KEY");
        let webhook = self.webhook_secrets.iter().any(short).then_some("CALMONY_PAY_WEBHOOK_SECRET");
        key.into_iter().chain(webhook).collect()
    }
}

/// A secret that is given, or lies in a file.
fn secret(name: &str, value: Option<&SecretString>, file: Option<&PathBuf>) -> Result<SecretString, String> {
    let given = match (value, file) {
        (Some(_), Some(_)) => return Err(format!("set {name} or {name}_FILE, not both")),
        (Some(value), None) => value.clone(),
        (None, Some(path)) => {
            from_file(path).map_err(|why| format!("{name}_FILE: {}: {why}", path.display()))?
        }
        (None, None) => return Err(format!("{name} is not set")),
    };
    if given.expose_secret().is_empty() {
        return Err(format!("{name} is empty"));
    }
    Ok(given)
}

impl ServerArgs {
    /// Where a tenant's browser goes after checkout, given the companion's address.
    pub fn return_url(&self, companion: SocketAddr) -> Result<Url, String> {
        if let Some(url) = &self.return_url {
            return Ok(url.clone());
        }
        let base = match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{companion}"),
        };
        Url::parse(&format!("{base}{RETURN_PATH}")).map_err(|error| format!("QUITTANCE_PUBLIC_URL: {error}"))
    }
}

/// Whether Calmony Pay would send a tenant there: https, and no private or loopback address (its advisory on
/// request forgery through checkout URLs).
pub fn is_public(url: &Url) -> bool {
    let public = match url.host() {
        // A name without a dot is known to some local network at best.
        Some(url::Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let private = [".localhost", ".local", ".internal", ".test", ".invalid"];
            name.contains('.') && !private.iter().any(|suffix| name.ends_with(suffix))
        }
        Some(url::Host::Ipv4(ip)) => is_public_ipv4(ip),
        Some(url::Host::Ipv6(ip)) => match ip.to_ipv4_mapped() {
            Some(ip) => is_public_ipv4(ip),
            None => {
                !(ip.is_loopback()
                    || ip.is_unspecified()
                    || ip.is_unique_local()
                    || ip.is_unicast_link_local())
            }
        },
        None => false,
    };
    url.scheme() == "https" && public
}

fn is_public_ipv4(ip: Ipv4Addr) -> bool {
    !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified())
}

fn safe_link(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    is_safe_link(&url).then_some(url).ok_or_else(|| "must be https, or http on a loopback address".into())
}

#[cfg(test)]
mod tests;
