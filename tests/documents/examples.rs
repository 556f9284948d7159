//! What the documents say can be run is run, beside `quittance dev` on free ports: the tour of the README, the blocks
//! that call a server, and the programs in `examples`.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{at, commands::is_run, markdown::*, program::program};

/// For anything that is started here: a busy machine may need long, and nothing may hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program, killed when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `quittance dev`, in a folder of its own.
struct Dev {
    _server: Running,
    folder: tempfile::TempDir,
    ready: Value,
}

impl Dev {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = program(&["dev"]);
        for listener in ["rpc", "webhook", "ops", "sandbox"] {
            command.args([format!("--{listener}-addr"), "127.0.0.1:0".into()]);
        }
        command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Running(command.spawn().expect("it starts"));
        let (told, hear) = std::sync::mpsc::channel();
        let mut output = BufReader::new(server.0.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            let mut line = String::new();
            // Where the line never comes, the test has ended before this does.
            let _ = output.read_line(&mut line).map(|_| told.send(line));
        });
        let line = hear.recv_timeout(PATIENCE).expect("it gets ready");
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        Self { _server: server, folder, ready }
    }

    fn word(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_else(|| panic!("{name}: {}", self.ready))
    }

    /// A document's commands, with what the reader would put in.
    fn filled_in(&self, commands: &str) -> String {
        commands
            .replace("http://127.0.0.1:4000", self.word("rpc"))
            .replace("http://127.0.0.1:4010", self.word("sandbox"))
            .replace("qt_…", self.word("agentToken"))
            // The reader sees that the webhook has come; a test on a busy machine waits longer.
            .replace("sleep 1", "sleep 3")
    }

    /// Runs a program to its end, which must be a good one; what it said.
    fn run(&self, name: &str, program: &str, arguments: &[&str]) -> String {
        let said = self.folder.path().join("said");
        let file = File::create(&said).expect("a file");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("RPC", format!("{}/rpc", self.word("rpc")))
            .env("SANDBOX", self.word("sandbox"))
            .env("TOKEN", self.word("agentToken"))
            // No proxy stands between this machine and itself.
            .envs([("no_proxy", "127.0.0.1"), ("NO_PROXY", "127.0.0.1")])
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file);
        let mut child = Running(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")));
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.0.try_wait().expect("it can be looked at") {
                break status;
            }
            assert!(Instant::now() < deadline, "{name} does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = std::fs::read_to_string(said).expect("text");
        assert!(status.success() && !said.contains("\"error\""), "{name}: {status}\n{said}");
        said
    }
}

/// That these stand in what was said, in this order.
fn in_order(name: &str, said: &str, words: &[&str]) {
    let mut rest = said;
    for word in words {
        match rest.split_once(word) {
            Some((_, after)) => rest = after,
            None => panic!("{name} did not say {word:?} in its place:\n{said}"),
        }
    }
}

#[test]
fn the_tour_of_the_readme_works() {
    let readme = Document::read("README.md");
    let tour: Vec<_> = readme.blocks.iter().filter(|block| is_run(block)).collect();
    assert_eq!(tour.len(), 1, "one block is the tour");
    let dev = Dev::start();
    let said = dev.run("the tour", "bash", &["-euc", &dev.filled_in(&tour[0].text)]);
    in_order(
        "the tour",
        &said,
        &[
            r#""checkoutUrl""#,
            r#""payment_intent""#,
            r#""status":"succeeded""#,
            r#""status":"complete""#,
            r#""status":"paid""#,
            "payment.created",
            "payment.succeeded",
            r#""succeeded":{"count":1,"totalPence":25000}"#,
        ],
    );
}

#[test]
fn what_the_other_documents_call_answers() {
    let dev = Dev::start();
    let mut called = 0;
    for document in documents().iter().filter(|document| document.path != "README.md") {
        for block in document.blocks.iter().filter(|block| is_run(block)) {
            let name = format!("{}, {}", document.path, block.section);
            dev.run(&name, "bash", &["-euc", &dev.filled_in(&block.text)]);
            called += 1;
        }
    }
    assert!(called > 0, "the faults of the sandbox are among them");
}

#[test]
fn the_examples_work() {
    let dev = Dev::start();
    for (program, path) in [
        ("bash", "examples/curl/tour.sh"),
        ("node", "examples/node/pay.mjs"),
        ("python3", "examples/python/client.py"),
    ] {
        let said = dev.run(path, program, &[&at(Path::new(path)).to_string_lossy()]);
        in_order(path, &said, &["succeeded", "complete", "paid", "payment.created", "payment.succeeded"]);
    }
}

#[test]
fn every_example_is_run() {
    let mut found = Vec::new();
    for folder in
        std::fs::read_dir(at("examples")).expect("examples").map(|entry| entry.expect("an entry").path())
    {
        if folder.is_dir() {
            let files =
                std::fs::read_dir(&folder).expect("files").map(|entry| entry.expect("a file").file_name());
            found.extend(files.map(|name| name.to_string_lossy().into_owned()));
        }
    }
    found.retain(|name| !name.starts_with('.') && name != "__pycache__");
    found.sort();
    assert_eq!(found, ["client.py", "pay.mjs", "tour.sh"], "`the_examples_work` runs these");
}
