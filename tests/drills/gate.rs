//! The road to the provider: a relay in front of the sandbox that can hold a request or its answer back, so that a
//! server can be killed while it waits for exactly that.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// Whoever waits longer for something to come to the gate waits for nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is held back: requests on their way to the provider, or its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Request,
    Answer,
}

/// A relay to one address. Clones are handles to the same one.
#[derive(Clone)]
pub struct Gate {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    upstream: String,
    /// Which way, and what the request must contain.
    held: watch::Sender<Option<(Way, String)>>,
    waiting: watch::Sender<usize>,
    /// Cancelled to cut every connection that is open.
    cut: watch::Sender<CancellationToken>,
}

impl Gate {
    /// Relays connections to `upstream` (`127.0.0.1:PORT`), for as long as this process lives.
    pub async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            upstream,
            held: watch::Sender::new(None),
            waiting: watch::Sender::new(0),
            cut: watch::Sender::new(CancellationToken::new()),
        });
        let gate = Self { address, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, cut) = (Arc::clone(&state), state.cut.borrow().clone());
                tokio::spawn(async move { cut.run_until_cancelled(relay(client, &state, &cut)).await });
            }
        });
        gate
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on holds back what belongs to requests, head and body, that contain `what`.
    pub fn hold(&self, way: Way, what: &str) {
        self.state.waiting.send_replace(0);
        self.state.held.send_replace(Some((way, what.to_owned())));
    }

    /// Waits until something is held.
    pub async fn holds_something(&self) {
        let mut waiting = self.state.waiting.subscribe();
        let waited = tokio::time::timeout(PATIENCE, waiting.wait_for(|count| *count > 0)).await;
        assert!(waited.is_ok(), "nothing came to the gate: {:?}", *self.state.held.borrow());
    }

    /// Lets everything through again.
    pub fn release(&self) {
        self.state.held.send_replace(None);
    }

    /// Cuts every connection: what was held is lost for good.
    pub fn cut(&self) {
        // First this: whoever is let through by the release looks whether it was cut.
        self.state.cut.send_replace(CancellationToken::new()).cancel();
        self.release();
    }
}

impl State {
    async fn pass(&self, way: Way, asked: &str) {
        let mut held = self.held.subscribe();
        let is_held = |held: &Option<(Way, String)>| {
            held.as_ref().is_some_and(|(held, what)| *held == way && asked.contains(what))
        };
        if is_held(&held.borrow_and_update()) {
            self.waiting.send_modify(|count| *count += 1);
            // Only a dropped sender fails, and `self` keeps it.
            let _ = held.wait_for(|held| !is_held(held)).await;
        }
    }
}

async fn relay(client: TcpStream, state: &State, cut: &CancellationToken) -> std::io::Result<()> {
    let provider = TcpStream::connect(&state.upstream).await?;
    client.set_nodelay(true)?;
    provider.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_provider, mut to_provider)) =
        (client.into_split(), provider.into_split());
    // The request under way, so far; both directions look at it.
    let asked = watch::Sender::new(String::new());
    let requests = async {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let length = from_client.read(&mut chunk).await?;
            if length == 0 {
                return std::io::Result::Ok(());
            }
            let text = String::from_utf8_lossy(&chunk[..length]);
            asked.send_modify(|asked| {
                if text.starts_with("POST /") || text.starts_with("GET /") {
                    asked.clear();
                }
                asked.push_str(&text);
            });
            let request = asked.borrow().clone();
            state.pass(Way::Request, &request).await;
            if cut.is_cancelled() {
                return Ok(());
            }
            to_provider.write_all(&chunk[..length]).await?;
        }
    };
    let answers = async {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let length = from_provider.read(&mut chunk).await?;
            if length == 0 {
                return std::io::Result::Ok(());
            }
            let request = asked.borrow().clone();
            state.pass(Way::Answer, &request).await;
            if cut.is_cancelled() {
                return Ok(());
            }
            to_client.write_all(&chunk[..length]).await?;
        }
    };
    tokio::select! {
        done = requests => done,
        done = answers => done,
    }
}
