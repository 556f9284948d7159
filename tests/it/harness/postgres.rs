//! A private PostgreSQL for this test process: its own data directory, a free port, gone when the process is.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

struct Server {
    port: u16,
    /// Its standard input is how it knows that we live.
    _shell: Child,
}

/// The URL of a fresh, empty database.
pub fn fresh_database() -> String {
    static SERVER: OnceLock<Server> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let server = SERVER.get_or_init(start);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let created = Command::new(programs().join("psql"))
        .args(["-h", "127.0.0.1", "-p", &server.port.to_string(), "-U", "postgres", "-d", "postgres", "-qc"])
        .arg(format!("create database {name}"))
        .output()
        .expect("psql runs");
    assert!(created.status.success(), "create database: {}", String::from_utf8_lossy(&created.stderr));
    format!("postgres://postgres@127.0.0.1:{}/{name}", server.port)
}

/// Starts the server. The shell around it waits for the end of its input, which comes when this process ends,
/// however it ends; then it stops the server and removes the data.
fn start() -> Server {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let data = tempfile::Builder::new().prefix("quittance-pg-").tempdir().expect("a directory").keep();
    let programs = programs();
    let script = format!(
        r#"
        set -e
        trap '' INT TERM
        {programs}/initdb -D '{data}/pg' -A trust -U postgres --no-sync >'{data}/initdb.log' 2>&1
        {programs}/postgres -D '{data}/pg' -p {port} -k '{data}' -c listen_addresses=127.0.0.1 \
          {settings} -c log_min_messages=error >'{data}/log' 2>&1 </dev/null &
        server=$!
        for i in $(seq 1 300); do
          {programs}/pg_isready -q -h 127.0.0.1 -p {port} && break
          sleep 0.1
        done
        {programs}/pg_isready -q -h 127.0.0.1 -p {port}
        echo ready
        cat >/dev/null
        kill -QUIT $server
        wait $server || true
        rm -rf '{data}'
        "#,
        programs = programs.display(),
        data = data.display(),
        settings = super::POSTGRES_SETTINGS,
    );
    // initdb refuses to run as root.
    let as_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    let mut command = if as_root {
        let owned = Command::new("chown").args(["postgres"]).arg(&data).status();
        assert!(
            owned.is_ok_and(|status| status.success()),
            "there is no user `postgres` to run PostgreSQL as"
        );
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh", "-c", &script]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        command
    };
    let mut shell = command
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell to run PostgreSQL in");
    let mut line = String::new();
    let output = shell.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut line).expect("its output");
    let log = || ["initdb.log", "log"].map(|log| std::fs::read_to_string(data.join(log)).unwrap_or_default());
    assert_eq!(line, "ready\n", "PostgreSQL did not start: {:?}", log());
    Server { port, _shell: shell }
}

/// Where PostgreSQL's programs are.
fn programs() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let said = Command::new("pg_config").arg("--bindir").output().ok();
        let said = said.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut candidates: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        candidates.sort();
        let has_server = |folder: &PathBuf| Path::new(folder).join("initdb").exists();
        said.into_iter()
            .chain(candidates.into_iter().rev())
            .find(has_server)
            .expect("PostgreSQL is not installed: run tests/run, or install the package `postgresql`")
    };
    FOUND.get_or_init(find).clone()
}
