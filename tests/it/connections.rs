//! How we come by a connection to PostgreSQL: hosts, roles, TLS, and what a session begins with; and which databases are
//! refused.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use quittance::{
    domain::{AgencyId, Label},
    error::Error,
    ledger::{Ledger, migrate, tables::AgencyRow},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::task::spawn_blocking;

use crate::harness::{Cluster, Database, Sql, postgres::fresh_database};

/// As the contract says: a caller waits so long at most for a connection.
pub const WAIT: Duration = Duration::from_secs(2);
/// A machine that is busy with other tests takes a little longer.
pub const MARGIN: Duration = Duration::from_millis(1_500);

pub async fn cluster(settings: &'static str) -> Arc<Cluster> {
    let start = move || Cluster::start(&format!("-c fsync=off {settings}"), |_| {});
    Arc::new(spawn_blocking(start).await.expect("a server"))
}

pub async fn tell(cluster: &Arc<Cluster>, command: &'static str) {
    let cluster = Arc::clone(cluster);
    spawn_blocking(move || cluster.tell(command)).await.expect("it is done");
}

/// Connects, without changing anything.
async fn look(url: &str) -> Result<(), String> {
    migrate(&url.parse().expect("a URL"), false).await.map(drop).map_err(|error| error.story())
}

pub async fn add_agency(ledger: &Ledger) -> Result<(), Error> {
    let id = AgencyId::new();
    let row = AgencyRow {
        id,
        name: Label::parse("Brick & Mortar").expect("a name"),
        max_card_payment_pence: None,
        created_at: id.made_at(),
    };
    ledger.write(move |tx| async move { tx.insert_agency(&row).await }.boxed()).await
}

/// An authority, and what it has signed for a host; as files.
fn certificates(folder: &Path, authority: &str, names: &[&str]) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, authority);
    let issuer =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    fs::write(folder.join(format!("{authority}.crt")), issuer.pem()).expect("a file");
    for name in names {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![(*name).to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, *name);
        let signed = params.signed_by(&key, &issuer).expect("a certificate");
        fs::write(folder.join(format!("{name}.crt")), signed.pem()).expect("a file");
        let path = folder.join(format!("{name}.key"));
        fs::write(&path, key.serialize_pem()).expect("a file");
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("its owner's alone");
    }
}

/// On its own `pg_hba.conf`: whoever comes over the network comes with TLS.
const ONLY_TLS: &str = "local all all trust\nhostssl all certified all cert\nhostssl all all all trust\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sslmode_means_what_it_means_to_libpq() {
    let start = || {
        let own = tempfile::tempdir().expect("a folder");
        certificates(own.path(), "authority", &["localhost", "certified"]);
        certificates(own.path(), "stranger", &[]);
        let copied = own.path().to_owned();
        let prepare = move |folder: &Path| {
            for file in fs::read_dir(copied).expect("the folder") {
                let file = file.expect("a file");
                fs::copy(file.path(), folder.join(file.file_name())).expect("a copy");
            }
            fs::write(folder.join("hba"), ONLY_TLS).expect("a file");
        };
        let settings = "-c fsync=off -c ssl=on -c ssl_cert_file=FOLDER/localhost.crt \
                        -c ssl_key_file=FOLDER/localhost.key -c ssl_ca_file=FOLDER/authority.crt -c hba_file=FOLDER/hba";
        (Cluster::start(settings, prepare), own)
    };
    let (cluster, files) = spawn_blocking(start).await.expect("a server");
    cluster.sql("postgres", "create role certified login");
    let port = cluster.address().split(':').next_back().expect("a port").to_owned();
    let url = |user: &str, host: &str, parameters: &str| {
        let parameters = parameters.replace("DIR", &files.path().display().to_string());
        format!("postgres://{user}@{host}:{port}/postgres?{parameters}")
    };
    let own = "sslrootcert=DIR/authority.crt";
    for (host, parameters, passes) in [
        ("localhost", "", true),
        ("localhost", "sslmode=disable", false),
        ("localhost", "sslmode=prefer", true),
        ("127.0.0.1", "sslmode=require", true),
        // A certificate that can't be trusted, and then no TLS, which this server does not take.
        ("localhost", "sslmode=prefer&sslrootcert=DIR/stranger.crt", false),
        ("localhost", "sslmode=require&sslrootcert=DIR/stranger.crt", false),
        ("127.0.0.1", &format!("sslmode=require&{own}"), true),
        ("127.0.0.1", &format!("sslmode=verify-ca&{own}"), true),
        ("localhost", "sslmode=verify-ca&sslrootcert=DIR/stranger.crt", false),
        ("localhost", "sslmode=verify-ca", false),
        ("localhost", &format!("sslmode=verify-full&{own}"), true),
        ("127.0.0.1", &format!("sslmode=verify-full&{own}"), false),
        ("localhost", "sslmode=verify-full&sslrootcert=DIR/stranger.crt", false),
        ("localhost", "sslmode=verify-full&sslrootcert=DIR/localhost.crt", true),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=DIR/localhost.crt", false),
        ("localhost", "sslmode=verify-full", false),
        ("localhost", "sslmode=verify-full&sslrootcert=system", false),
        ("localhost", "sslmode=require&channel_binding=disable&connect_timeout=5", true),
    ] {
        let looked = look(&url("postgres", host, parameters)).await;
        assert_eq!(looked.is_ok(), passes, "{host} {parameters}: {looked:?}");
    }
    let client = "sslmode=require&sslcert=DIR/certified.crt&sslkey=DIR/certified.key";
    look(&url("certified", "localhost", client)).await.expect("a client with a certificate");
    look(&url("certified", "localhost", "sslmode=require")).await.expect_err("a client without");

    for (parameters, reason) in [
        ("sslmode=allow", "sslmode must be"),
        ("sslmode=require&sslrootcert=system", "sslmode=verify-full alone"),
        ("sslmode=verify-full&sslrootcert=DIR/none.crt", "none.crt"),
        ("sslcert=DIR/certified.crt", "sslcert and sslkey go together"),
        ("target_session_attrs=master", "target_session_attrs must be"),
        ("no_such_parameter=1", "no_such_parameter"),
    ] {
        let told = look(&url("postgres", "localhost", parameters)).await.expect_err(parameters);
        assert!(told.contains(reason), "{parameters}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_spoken_to_in_the_clear_unless_tls_is_required() {
    let url = spawn_blocking(fresh_database).await.expect("a database");
    for (mode, passes) in [
        ("disable", true),
        ("prefer", true),
        ("require", false),
        ("verify-ca", false),
        ("verify-full", false),
    ] {
        let looked = look(&format!("{url}?sslmode={mode}")).await;
        assert_eq!(looked.is_ok(), passes, "{mode}: {looked:?}");
    }
}

/// Takes connections and says nothing.
fn silent_host() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Takes no connections: its queue is full, so the kernel drops whatever comes.
fn dropping_host() -> (tokio::net::TcpListener, Vec<TcpStream>, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("bound");
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
    let queued = std::iter::from_fn(|| connect().ok()).take(64).collect();
    assert!(connect().is_err(), "its queue is full");
    (listener, queued, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_answer_is_left_for_the_next() {
    let url = spawn_blocking(fresh_database).await.expect("a database");
    migrate(&url.parse().expect("a URL"), true).await.expect("migrations run");
    let (_listener, silent) = silent_host();
    let (_queue, _queued, dropping) = spawn_blocking(dropping_host).await.expect("a host");
    for dead in [silent, dropping, "127.0.0.1:9".parse().expect("an address")] {
        for attributes in ["", "?target_session_attrs=read-write"] {
            let url = url.replace("@127", &format!("@{dead},127")) + attributes;
            let began = Instant::now();
            let ledger = Ledger::open(&url.parse().expect("a URL")).await.expect("the second host serves");
            assert!(began.elapsed() < WAIT + MARGIN, "{dead}: {:?}", began.elapsed());
            // Once it is known, nobody waits for it any more, whichever kind of connection he needs.
            let began = Instant::now();
            ledger.check().await.expect("every kind of connection is there");
            add_agency(&ledger).await.expect("a write");
            assert!(began.elapsed() < MARGIN, "{dead}: {:?}", began.elapsed());
        }
    }
    let began = Instant::now();
    let told = look(&format!("postgres://x@{silent}/x?connect_timeout=1")).await.expect_err("nobody there");
    assert!(began.elapsed() < Duration::from_secs(1) + MARGIN, "{:?}", began.elapsed());
    assert!(told.contains("does not answer") && told.contains(&silent.to_string()), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_with_the_wanted_role_is_taken() {
    let standby = cluster("").await;
    tell(&standby, "standby").await;
    let primary = spawn_blocking(fresh_database).await.expect("a database");
    migrate(&primary.parse().expect("a URL"), true).await.expect("migrations run");
    let alone = format!("postgres://postgres@{}/postgres", standby.address());
    for (attributes, on_standby, on_primary) in [
        ("any", true, true),
        ("read-write", false, true),
        ("read-only", true, false),
        ("primary", false, true),
        ("standby", true, false),
        ("prefer-standby", true, true),
    ] {
        for (url, passes) in [(&alone, on_standby), (&primary, on_primary)] {
            let looked = look(&format!("{url}?target_session_attrs={attributes}")).await;
            assert_eq!(looked.is_ok(), passes, "{url} {attributes}: {looked:?}");
        }
    }
    // A ledger is written to, so of several hosts one that takes writes is looked for, asked or not.
    let both = primary.replace("@127", &format!("@{},127", standby.address()));
    for attributes in ["", "?target_session_attrs=primary", "?target_session_attrs=read-write"] {
        let url = format!("{both}{attributes}").parse().expect("a URL");
        assert_eq!(migrate(&url, true).await.expect("the primary"), Vec::<String>::new());
        add_agency(&Ledger::open(&url).await.expect("the primary")).await.expect("a write");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_make_no_tables_is_served_and_other_builds_are_refused() {
    let cluster = cluster("").await;
    let url = cluster.fresh_database();
    let name = url.rsplit('/').next().expect("a name");
    let (by_owner, by_role) =
        (url.parse().expect("a URL"), url.replace("postgres@", "clerk@").parse().expect("a URL"));
    cluster.sql("postgres", "create role clerk login");
    cluster.sql(name, "revoke create on schema public from public");
    migrate(&by_role, true).await.expect_err("it may make no tables");
    assert!(!migrate(&by_owner, true).await.expect("the owner may").is_empty());
    assert_eq!(cluster.sql(name, "select count(*) from pg_locks where locktype = 'advisory'"), "0");
    cluster.sql(name, "grant select, insert, update, delete on all tables in schema public to clerk");
    cluster.sql(name, "grant usage on all sequences in schema public to clerk");
    for apply in [true, false] {
        assert_eq!(migrate(&by_role, apply).await.expect("nothing to do"), Vec::<String>::new());
    }
    let ledger = Ledger::open(&by_role).await.expect("it serves");
    add_agency(&ledger).await.expect("a write");
    ledger.check().await.expect("it is ready");

    cluster.sql(name, "insert into __diesel_schema_migrations (version) values ('20990101000001 abc')");
    let told = migrate(&by_role, true).await.expect_err("a newer schema").story();
    assert!(told.contains("newer build") && told.contains("20990101000001"), "{told}");
    cluster.sql(
        name,
        "update __diesel_schema_migrations set version = '20200101000001 abc' where version like '2099%'",
    );
    let told = migrate(&by_role, true).await.expect_err("an older schema").story();
    assert!(told.contains("earlier build") && told.contains("20200101000001"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_an_earlier_build_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/.quittance/dev.db", folder.path().display());
    let database = url.parse().expect("a URL");
    assert!(!migrate(&database, true).await.expect("a new one").is_empty());
    assert!(migrate(&database, true).await.expect("its own").is_empty());
    // As a build records it whose first migration had another text.
    let edited = "update __diesel_schema_migrations set version = substr(version, 1, 15) || 'x'";
    Sql::open(Database::Sqlite, &url).await.ok(edited).await;
    let told = migrate(&database, true).await.expect_err("another build's").story();
    assert!(told.contains("earlier build") && told.contains("remove the folder .quittance/"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_set_on_a_session_but_by_its_startup() {
    let cluster = cluster("-c log_statement=all").await;
    let url = cluster.fresh_database().parse().expect("a URL");
    migrate(&url, true).await.expect("migrations run");
    let ledger = Ledger::open(&url).await.expect("it opens");
    ledger.check().await.expect("every kind of connection");
    add_agency(&ledger).await.expect("a write");
    let log = cluster.log().to_lowercase();
    assert!(log.contains("statement: commit") && log.contains("pg_advisory_xact_lock"), "{log}");
    assert!(!log.contains("pg_advisory_lock"), "a lock that a session keeps");
    // What the driver sets by itself, the time zone and the encoding, PgBouncer keeps for each client.
    let set = log.lines().filter(|line| line.contains(": set ") && !line.contains(": set local "));
    let set: Vec<_> =
        set.filter(|line| !line.contains("time zone") && !line.contains("client_encoding")).collect();
    assert!(set.is_empty(), "{set:?}");
}
