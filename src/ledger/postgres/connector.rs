//! How a connection to PostgreSQL comes about: the URL's hosts, one after another, each within its own time, until one
//! serves (`host`); TLS (`tls`), and the settings that a connection begins with.
//!
//! The driver tries hosts one after another too, but limits only its sockets: a host that takes connections and says
//! nothing would hold it for ever. So here it is given one address at a time. Nothing is set on a connection once it
//! stands, since behind PgBouncer it is another client's after each transaction: what we need is sent with the
//! startup packet, or belongs to the role.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use diesel_async::AsyncPgConnection;
use rustls::ClientConfig;
use tokio::time::timeout;
use tokio_postgres::{
    Config,
    config::{Host as HostName, LoadBalanceHosts, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::form_urlencoded;

use super::{
    Conn,
    connection::ServerConnection,
    host::{Host, Refusal, Wanted},
    tls::{self, Mode},
};
use crate::{
    error::{Error, with_causes},
    ledger::{failure::Failure, health::Health, secret},
};

/// How long one address may take to let us in, unless `connect_timeout` says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection is given up when the server has not confirmed what was sent for so long.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(10);

/// What each connection begins with. Every statement of ours is answered by an index and prepared once, and is to be
/// planned so from the first row on: a plan that was made while the tables were small would otherwise be kept.
const SETTINGS: [&str; 7] = [
    "statement_timeout=5s",
    "idle_in_transaction_session_timeout=15s",
    "plan_cache_mode=force_generic_plan",
    "jit=off",
    "enable_seqscan=off",
    "enable_hashjoin=off",
    "enable_mergejoin=off",
];

/// Connects. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Target>);

/// What a URL says.
struct Target {
    /// What all hosts share; its own hosts are not used.
    shared: Config,
    hosts: Vec<Arc<Host>>,
    wanted: Wanted,
    mode: Mode,
    tls: ClientConfig,
    timeout: Duration,
    health: Arc<Health>,
}

impl Connector {
    /// Reads the URL, and the files that it names.
    pub fn new(url: &secret::Url) -> Result<Self, Error> {
        let target = Target::parse(&url.0).map_err(|why| Error::internal(format!("DATABASE_URL: {why}")))?;
        Ok(Self(Arc::new(target)))
    }

    /// What is known of the database.
    pub fn health(&self) -> &Arc<Health> {
        &self.0.health
    }

    /// A connection to the first host that serves.
    pub async fn connect(&self) -> Result<ServerConnection, Error> {
        self.connect_with(&[]).await
    }

    /// The same with further settings, as `lock_timeout=1s`. Goes on where nobody waits any more: whoever comes next then
    /// knows which hosts do not answer.
    pub async fn connect_with(&self, settings: &'static [&'static str]) -> Result<ServerConnection, Error> {
        let connector = self.clone();
        let connecting = tokio::spawn(async move { connector.connect_now(settings).await });
        connecting.await.unwrap_or_else(|_| Err(Error::internal("connecting to PostgreSQL panicked")))
    }

    async fn connect_now(&self, settings: &[&str]) -> Result<ServerConnection, Error> {
        match self.0.try_hosts(settings).await {
            Ok(connection) => Ok(connection),
            Err((failure, why)) => {
                // A wrong password, too, is about the database and not about one statement.
                let failure = if failure.is_outage() { failure } else { Failure::Refusing };
                self.0.health.failed(failure, &why);
                Err(Error::internal(format!("PostgreSQL: {why}")))
            }
        }
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, String> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut wanted = None;
        let mut tls = tls::Parameters::default();
        let mut tcp_user_timeout = PEER_SILENCE_MAX;
        let mut rest = form_urlencoded::Serializer::new(String::new());
        // `+` is no space here, other than in forms.
        for (name, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
            match &*name {
                "sslmode" => tls.mode = Some(Mode::parse(&value)?),
                "sslrootcert" => tls.root_cert = Some(value.into_owned()),
                "sslcert" => tls.cert = Some(PathBuf::from(&*value)),
                "sslkey" => tls.key = Some(PathBuf::from(&*value)),
                "target_session_attrs" => wanted = Some(Wanted::parse(&value)?),
                // In milliseconds to libpq, in seconds to the driver.
                "tcp_user_timeout" => {
                    let given =
                        value.parse().map_err(|_| "tcp_user_timeout must be a number of milliseconds")?;
                    tcp_user_timeout = Duration::from_millis(given);
                }
                // Nothing that we could do otherwise.
                "gssencmode" | "sslcompression" | "client_encoding" | "fallback_application_name" => {}
                "keepalives_count" => _ = rest.append_pair("keepalives_retries", &value),
                _ => _ = rest.append_pair(&name, &value),
            }
        }
        // The driver decodes %20, and would take `+` for itself.
        let rest = rest.finish().replace('+', "%20");
        let mut shared: Config =
            format!("{base}?{rest}").parse().map_err(|error: tokio_postgres::Error| with_causes(&error))?;
        let hosts = Host::all(&shared)?;
        let (mode, tls) = tls::settings(tls)?;
        let timeout = shared.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        if shared.get_application_name().is_none() {
            shared.application_name("quittance");
        }
        // Else a server that fell silent would hold a connection for a quarter of an hour.
        shared.tcp_user_timeout(tcp_user_timeout);
        if shared.get_keepalives_idle() > PEER_SILENCE_MAX {
            shared.keepalives_idle(PEER_SILENCE_MAX);
        }
        let usual = if hosts.len() > 1 { Wanted::PreferReadWrite } else { Wanted::Any };
        let wanted = wanted.unwrap_or(usual);
        Ok(Self { shared, hosts, wanted, mode, tls, timeout, health: Arc::default() })
    }

    async fn try_hosts(&self, settings: &[&str]) -> Result<ServerConnection, (Failure, String)> {
        let mut refusals: Vec<Refusal> = Vec::new();
        for &wanted in self.wanted.one_after_another() {
            for host in self.hosts_in_order() {
                match self.try_host(&host, wanted, settings).await {
                    Ok(connection) => {
                        host.serves();
                        return Ok(connection);
                    }
                    Err(refusal) => {
                        host.avoid();
                        refusals.push(refusal);
                    }
                }
            }
        }
        refusals.dedup_by(|one, other| one.why == other.why);
        // A host that is there tells more than one that is not.
        let failures = refusals.iter().map(|refusal| refusal.failure);
        let failure = failures.clone().find(|failure| *failure != Failure::Away).unwrap_or(Failure::Away);
        let why: Vec<_> = refusals.into_iter().map(|refusal| refusal.why).collect();
        Err((failure, why.join("; ")))
    }

    /// Those that serve first, in the order of the URL.
    fn hosts_in_order(&self) -> Vec<Arc<Host>> {
        let mut hosts = self.hosts.clone();
        if self.shared.get_load_balance_hosts() == LoadBalanceHosts::Random {
            rand::seq::SliceRandom::shuffle(&mut *hosts, &mut rand::rng());
        }
        hosts.sort_by_key(|host| host.is_avoided());
        hosts
    }

    async fn try_host(
        &self,
        host: &Arc<Host>,
        wanted: Wanted,
        settings: &[&str],
    ) -> Result<ServerConnection, Refusal> {
        let at = |Refusal { failure, may_be_tls, why }| Refusal {
            failure,
            may_be_tls,
            why: format!("{host}: {why}"),
        };
        let addresses = timeout(self.timeout, host.addresses()).await;
        let addresses = addresses
            .unwrap_or_else(|_| Err(Refusal::away("its name is not resolved in time")))
            .map_err(at)?;
        let mut last = Refusal::away("its name has no address");
        for address in addresses {
            let times_left = host.times_left();
            match timeout(self.timeout, self.try_address(host, address, wanted, settings)).await {
                Ok(Ok(connection)) => {
                    let (host, health) = (Arc::clone(host), Arc::clone(&self.health));
                    return Ok(ServerConnection::new(connection, host, times_left, health));
                }
                Ok(Err(refusal)) => last = refusal,
                Err(_) => last = Refusal::away(format!("does not answer within {:?}", self.timeout)),
            }
        }
        Err(at(last))
    }

    async fn try_address(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        wanted: Wanted,
        settings: &[&str],
    ) -> Result<Conn, Refusal> {
        let mode = if host.is_socket() { Mode::Disable } else { self.mode };
        let first = match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        };
        let mut connected = self.open(host, address, first, settings).await;
        if mode == Mode::Prefer && connected.as_ref().is_err_and(|refusal| refusal.may_be_tls) {
            connected = self.open(host, address, SslMode::Disable, settings).await;
        }
        let mut connection = connected?;
        wanted.check(&mut connection).await?;
        Ok(connection)
    }

    async fn open(
        &self,
        host: &Host,
        address: Option<IpAddr>,
        mode: SslMode,
        settings: &[&str],
    ) -> Result<Conn, Refusal> {
        let mut config = Config::new();
        match (&host.name, address) {
            (Some(HostName::Tcp(name)), Some(_)) => config.host(name),
            #[cfg(unix)]
            (Some(HostName::Unix(folder)), _) => config.host_path(folder),
            // A bare address is what a certificate would have to be made out to.
            (_, Some(address)) => config.host(address.to_string()),
            (Some(HostName::Tcp(name)), None) => config.host(name),
            (None, None) => return Err(Refusal::away("names no host")),
        };
        if let Some(address) = address {
            config.hostaddr(address);
        }
        config.port(host.port).ssl_mode(mode);
        let shared = &self.shared;
        if let Some(user) = shared.get_user() {
            config.user(user);
        }
        if let Some(password) = shared.get_password() {
            config.password(password);
        }
        if let Some(name) = shared.get_dbname() {
            config.dbname(name);
        }
        if let Some(name) = shared.get_application_name() {
            config.application_name(name);
        }
        config.options(options(shared.get_options(), settings));
        config.ssl_negotiation(shared.get_ssl_negotiation());
        config.channel_binding(shared.get_channel_binding());
        config.keepalives(shared.get_keepalives());
        config.keepalives_idle(shared.get_keepalives_idle());
        if let Some(interval) = shared.get_keepalives_interval() {
            config.keepalives_interval(interval);
        }
        if let Some(retries) = shared.get_keepalives_retries() {
            config.keepalives_retries(retries);
        }
        if let Some(silence) = shared.get_tcp_user_timeout() {
            config.tcp_user_timeout(*silence);
        }
        let (client, connection) = config.connect(MakeRustlsConnect::new(self.tls.clone())).await?;
        let connection = AsyncPgConnection::try_from_client_and_connection(client, connection).await;
        connection.map_err(|error| Refusal::away(error.to_string()))
    }
}

/// Ours before those of the URL, so that the URL has the last word.
fn options(given: Option<&str>, settings: &[&str]) -> String {
    let ours = SETTINGS.iter().chain(settings).map(|setting| format!("-c {setting}"));
    ours.chain(given.map(str::to_owned)).collect::<Vec<_>>().join(" ")
}
