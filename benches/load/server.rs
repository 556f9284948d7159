//! The server that is measured: the real program as a process of its own, as its users run it.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

/// A running server.
pub struct Server {
    child: Child,
    pub rpc: SocketAddr,
    pub webhook: SocketAddr,
    /// From the start of the process to its ready line.
    pub started_in: Duration,
}

impl Server {
    /// Starts a server on a migrated database and waits until it is ready.
    pub fn start(database_url: &str, provider: SocketAddr) -> Self {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_quittance"))
            .arg("serve")
            .env_clear()
            .env("DATABASE_URL", database_url)
            .env("QUITTANCE_RPC_ADDR", "127.0.0.1:0")
            .env("QUITTANCE_WEBHOOK_ADDR", "127.0.0.1:0")
            .env("QUITTANCE_OPS_ADDR", "127.0.0.1:0")
            .env("QUITTANCE_RATE_LIMIT", "0")
            .env("CALMONY_PAY_API_URL", format!("http://{provider}/v1"))
            .env("CALMONY_PAY_SECRET_KEY", "sk_test_0123456789abcdef01234567")
            .env("CALMONY_PAY_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("RUST_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its output");
        let started_in = began.elapsed();
        let ready: serde_json::Value = serde_json::from_str(&line).expect("the ready line");
        let address = |name: &str| {
            let url = ready[name].as_str().expect("an address");
            url.trim_start_matches("http://").parse().expect("an address")
        };
        Self { rpc: address("rpc"), webhook: address("webhook"), child, started_in }
    }

    /// Its resident memory now, and the most it ever had, in MiB. Only Linux says.
    pub fn memory_mib(&self) -> Option<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
        };
        Some((mib("VmRSS:")?, mib("VmHWM:")?))
    }

    /// Stops it as an operator would.
    pub fn stop(mut self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(told.is_ok_and(|status| status.success()), "the server is told to stop");
        let ended = self.child.wait().expect("the server ends");
        assert!(ended.success(), "the server ended with {ended}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Stopped already, or the bench gave up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
