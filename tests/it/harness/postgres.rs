//! A private PostgreSQL for this test process: its own data directory, a free port, gone when the process is. And further
//! ones for tests that stop them, freeze them, or want them otherwise.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// A server of its own, gone with this process.
pub struct Cluster {
    port: u16,
    /// Where its files are; `pg` in it is its data directory.
    folder: PathBuf,
    /// The shell around it. Its standard input is how it knows that we live.
    shell: Mutex<Shell>,
}

struct Shell {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _process: Child,
}

/// The URL of a fresh, empty database on the server that the tests share.
pub fn fresh_database() -> String {
    static SERVER: OnceLock<Cluster> = OnceLock::new();
    SERVER.get_or_init(|| Cluster::start(super::POSTGRES_SETTINGS, |_| {})).fresh_database()
}

impl Cluster {
    /// Starts a server with these settings, in which `FOLDER` stands for its folder, after that was prepared. The shell around it does what it is told, and
    /// waits for the end of its input, which comes when this process ends, however it ends; then it stops the server and
    /// removes the data.
    pub fn start(settings: &str, prepare: impl FnOnce(&Path)) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let data = tempfile::Builder::new().prefix("quittance-pg-").tempdir().expect("a directory").keep();
        prepare(&data);
        let settings = settings.replace("FOLDER", &data.display().to_string());
        let programs = programs();
        let script = format!(
            r#"
            set -e
            trap '' INT TERM
            {programs}/initdb -D '{data}/pg' -A trust -U postgres --no-sync >'{data}/initdb.log' 2>&1
            start() {{
              {programs}/postgres -D '{data}/pg' -p {port} -k '{data}' -c listen_addresses=127.0.0.1 \
                {settings} -c log_min_messages=error >>'{data}/log' 2>&1 </dev/null &
              server=$!
              for i in $(seq 1 300); do
                {programs}/pg_isready -q -h 127.0.0.1 -p {port} && break
                sleep 0.1
              done
              {programs}/pg_isready -q -h 127.0.0.1 -p {port}
            }}
            stop() {{
              kill -$1 $server
              wait $server || true
            }}
            start
            echo ready
            while read -r command; do
              case $command in
                freeze) kill -STOP $server $(cat /proc/$server/task/$server/children) ;;
                thaw) kill -CONT $(cat /proc/$server/task/$server/children) $server ;;
                stop) stop INT ;;
                start) start ;;
                standby) stop INT; touch '{data}/pg/standby.signal'; start ;;
                promote) {programs}/pg_ctl -s -D '{data}/pg' promote ;;
              esac
              echo done
            done
            kill -CONT $server 2>/dev/null || true
            stop QUIT
            rm -rf '{data}'
            "#,
            programs = programs.display(),
            data = data.display(),
        );
        // initdb refuses to run as root.
        let as_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
        let mut command = if as_root {
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(&data).status();
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
        let mut process = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell to run PostgreSQL in");
        let mut shell = Shell {
            commands: process.stdin.take().expect("piped"),
            answers: BufReader::new(process.stdout.take().expect("piped")),
            _process: process,
        };
        let log =
            || ["initdb.log", "log"].map(|log| std::fs::read_to_string(data.join(log)).unwrap_or_default());
        assert_eq!(shell.answer(), "ready\n", "PostgreSQL did not start: {:?}", log());
        Self { port, folder: data, shell: Mutex::new(shell) }
    }

    /// The URL of a fresh, empty database.
    pub fn fresh_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the server has written down.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).expect("its log")
    }

    /// Runs SQL as superuser, over the server's socket; what it answers.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let out = Command::new(programs().join("psql"))
            .arg("-h")
            .arg(&self.folder)
            .args([
                "-p",
                &self.port.to_string(),
                "-U",
                "postgres",
                "-d",
                database,
                "-v",
                "ON_ERROR_STOP=1",
                "-qAtc",
            ])
            .arg(statements)
            .output()
            .expect("psql runs");
        assert!(out.status.success(), "{statements}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Makes the server `freeze`, `thaw`, `stop`, `start`, become a `standby`, or `promote` itself to a primary.
    pub fn tell(&self, command: &str) {
        let mut shell = self.shell.lock().expect("no panic");
        writeln!(shell.commands, "{command}").expect("the shell lives");
        assert_eq!(shell.answer(), "done\n", "{command}");
    }
}

impl Shell {
    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("its output");
        line
    }
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
