//! `quittance dev`, started again: links that were open before still are.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::{
    harness::{TestCaller, program},
    process::Server,
};

/// `dev` in this folder, with its sandbox on this port, and what its ready line says.
async fn dev_in(folder: &Path, sandbox_port: u16) -> (Server, Value) {
    let sandbox = format!("127.0.0.1:{sandbox_port}");
    let free = "127.0.0.1:0";
    let mut command = program(&["dev", "--sandbox-addr", &sandbox]);
    command.args(["--rpc-addr", free, "--webhook-addr", free, "--ops-addr", free]);
    command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Server(command.spawn().expect("it starts"));
    let output = server.0.stdout.take().expect("piped");
    let read = spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("a line");
        line
    });
    let line =
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("it gets ready").expect("no panic");
    (server, serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_links_outlive_a_restart() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let http = reqwest::Client::new();
    let agent = |ready: &Value| {
        let rpc = format!("{}/rpc", ready["rpc"].as_str().expect("a URL"));
        TestCaller::new(http.clone(), rpc, ready["agentToken"].as_str().map(str::to_owned))
    };
    let (mut server, ready) = dev_in(folder.path(), port).await;
    let created = agent(&ready).create(25_000).await;
    server.signal("-TERM");
    server.ended().await;

    let (mut server, ready) = dev_in(folder.path(), port).await;
    let page = http.get(&created.checkout_url).send().await.expect("an answer");
    assert_eq!(page.status(), 200);
    let pay = format!("http://127.0.0.1:{port}/sandbox/sessions/{}/pay", created.session_id());
    assert_eq!(http.post(pay).send().await.expect("an answer").status(), 200);
    for _ in 0..250 {
        if agent(&ready).payment(&created.id).await["status"] == "succeeded" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(agent(&ready).payment(&created.id).await["status"], "succeeded");
    server.signal("-TERM");
    server.ended().await;
}
