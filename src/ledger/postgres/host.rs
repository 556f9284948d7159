//! One host of the URL: where it is, whether it is what `target_session_attrs` wants, and whether it is worth trying before
//! the others.

use std::{
    fmt::Display,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::sql_types::{Bool, Text};
use tokio_postgres::{Config, config::Host as HostName, error::SqlState};

use super::{Conn, errors};
use crate::{error::with_causes, ledger::failure::Failure};

/// A host that did not serve is tried after the others for so long.
const AVOIDED_FOR: Duration = Duration::from_secs(10);

/// One host of the URL.
pub struct Host {
    pub(super) name: Option<HostName>,
    address: Option<IpAddr>,
    pub(super) port: u16,
    /// How often it was left for good reason. Connections from before are not used again.
    times_left: AtomicU64,
    avoided_until: Mutex<Option<Instant>>,
}

/// `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
    /// What several hosts without `target_session_attrs` are taken for: a ledger is written to.
    PreferReadWrite,
}

/// Why an address did not let us in.
pub struct Refusal {
    pub failure: Failure,
    /// Whether the same might pass without TLS.
    pub may_be_tls: bool,
    pub why: String,
}

impl Host {
    pub fn all(config: &Config) -> Result<Vec<Arc<Self>>, String> {
        let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let count = names.len().max(addresses.len());
        if count == 0 {
            return Err("names no host".into());
        }
        if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
            return Err("has as many hostaddr as hosts, or none".into());
        }
        if ports.len() > 1 && ports.len() != count {
            return Err("has a port for each host, one for all, or none".into());
        }
        let host = |index| {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            Arc::new(Self {
                name: names.get(index).cloned(),
                address: addresses.get(index).copied(),
                port,
                times_left: AtomicU64::new(0),
                avoided_until: Mutex::new(None),
            })
        };
        Ok((0..count).map(host).collect())
    }

    /// Where it is; a socket in the file system has no address.
    pub async fn addresses(&self) -> Result<Vec<Option<IpAddr>>, Refusal> {
        match (&self.name, self.address) {
            (_, Some(address)) => Ok(vec![Some(address)]),
            (Some(HostName::Tcp(name)), None) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await;
                let found = found.map_err(|error| Refusal::away(error.to_string()))?;
                Ok(found.map(|address| Some(address.ip())).collect())
            }
            _ => Ok(vec![None]),
        }
    }

    pub fn is_socket(&self) -> bool {
        self.address.is_none() && !matches!(self.name, Some(HostName::Tcp(_)))
    }

    pub fn is_avoided(&self) -> bool {
        let until = *self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| until > Instant::now())
    }

    pub fn avoid(&self) {
        let until = Instant::now() + AVOIDED_FOR;
        *self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    pub fn serves(&self) {
        *self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How often it was left.
    pub fn times_left(&self) -> u64 {
        self.times_left.load(Ordering::Acquire)
    }

    /// Gives up every connection that was made when it had been left so often, and tries others first.
    pub fn leave(&self, times_left: u64) {
        let next = times_left + 1;
        // Those that were made since may be good.
        let changed = self.times_left.compare_exchange(times_left, next, Ordering::AcqRel, Ordering::Acquire);
        if changed.is_ok() {
            self.avoid();
        }
    }
}

impl Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.name, self.address) {
            (Some(HostName::Tcp(name)), _) => write!(f, "{name}:{}", self.port),
            #[cfg(unix)]
            (Some(HostName::Unix(folder)), _) => write!(f, "{}:{}", folder.display(), self.port),
            (None, Some(address)) => write!(f, "{address}:{}", self.port),
            (None, None) => write!(f, ":{}", self.port),
        }
    }
}

/// What a session says of its server.
#[derive(diesel::QueryableByName)]
struct Standing {
    #[diesel(sql_type = Bool)]
    in_recovery: bool,
    #[diesel(sql_type = Text)]
    read_only: String,
}

impl Wanted {
    pub fn parse(value: &str) -> Result<Self, String> {
        match value {
            "any" => Ok(Self::Any),
            "read-write" => Ok(Self::ReadWrite),
            "read-only" => Ok(Self::ReadOnly),
            "primary" => Ok(Self::Primary),
            "standby" => Ok(Self::Standby),
            "prefer-standby" => Ok(Self::PreferStandby),
            _ => Err(
                "target_session_attrs must be any, read-write, read-only, primary, standby or prefer-standby"
                    .into(),
            ),
        }
    }

    /// What all hosts are asked for first, and then.
    pub fn one_after_another(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
            Self::PreferReadWrite => &[Self::ReadWrite, Self::Any],
        }
    }

    pub async fn check(self, connection: &mut Conn) -> Result<(), Refusal> {
        if self == Self::Any {
            return Ok(());
        }
        let question = "select pg_is_in_recovery() as in_recovery, current_setting('transaction_read_only') as read_only";
        let question = diesel::sql_query(question);
        let standing = diesel_async::RunQueryDsl::get_result::<Standing>(question, connection).await;
        let Standing { in_recovery, read_only } = standing.map_err(|error| Refusal {
            failure: errors::failure(&error),
            may_be_tls: false,
            why: error.to_string(),
        })?;
        let read_only = read_only == "on";
        let refused = match self {
            Self::ReadWrite | Self::PreferReadWrite if read_only => "takes no writes",
            Self::ReadOnly if !read_only => "takes writes",
            Self::Primary if in_recovery => "is a standby",
            Self::Standby | Self::PreferStandby if !in_recovery => "is no standby",
            _ => return Ok(()),
        };
        let failure = if read_only { Failure::ReadOnly } else { Failure::Refusing };
        Err(Refusal { failure, may_be_tls: false, why: refused.into() })
    }
}

impl Refusal {
    pub fn away(why: impl Into<String>) -> Self {
        Self { failure: Failure::Away, may_be_tls: false, why: why.into() }
    }
}

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Self {
        let failure = error.code().map_or(Failure::Away, errors::of_code);
        // Without a code it was the handshake, or nobody was there, which a second try does not change; with this one the
        // server lets nobody in that comes with TLS.
        let may_be_tls =
            error.code().is_none_or(|code| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        Self { failure, may_be_tls, why: with_causes(&error) }
    }
}
