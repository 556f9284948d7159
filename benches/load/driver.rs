//! Asks over kept connections as fast as answers come, or at a fixed rate; checks every answer and keeps every
//! latency, so that percentiles are exact.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore};

use super::http::read_message;

/// What the server says where it can't keep up.
const BUSY: &str = r#""kind":"BUSY""#;

/// A request, and a text that its answer must hold.
pub struct Request {
    pub bytes: Vec<u8>,
    pub expect: String,
}

/// How to ask.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub connections: usize,
    pub duration: Duration,
    /// Requests a second, due at even distances whether or not answers come: latency then counts from when a request
    /// was due. `None` asks again as soon as an answer is there.
    pub rate: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Sorted.
    latencies: Vec<Duration>,
    /// Answers that say `BUSY`: no wrong ones, but no good ones either.
    pub refused: usize,
    elapsed: Duration,
}

impl Figures {
    /// Good answers.
    pub fn answered(&self) -> usize {
        self.latencies.len()
    }

    /// Good answers a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that this part of the answers kept to, in ms.
    pub fn quantile_ms(&self, part: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.latencies.get(at).map_or(f64::NAN, Duration::as_secs_f64) * 1_000.0
    }
}

/// Asks until the time is over or there is nothing left to ask. A wrong answer ends the benchmark.
pub async fn drive(address: SocketAddr, load: Load, next: &mut dyn FnMut() -> Option<Request>) -> Figures {
    let next = RefCell::new(next);
    let latencies = RefCell::new(Vec::new());
    let mut streams = Vec::new();
    for _ in 0..load.connections {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket");
        streams.push(stream);
    }
    let began = Instant::now();
    let pace = load.rate.map(|rate| Pace::start(rate, began, load.duration));
    let (last_answer, refused) = (Cell::new(began), Cell::new(0));
    join_all(streams.into_iter().map(async |mut stream| {
        let mut buffer = Vec::with_capacity(64 * 1024);
        loop {
            let due = match &pace {
                Some(pace) => pace.next().await,
                None => Some(Instant::now()),
            };
            let Some(due) = due.filter(|due| due.duration_since(began) < load.duration) else { break };
            let Some(request) = (next.borrow_mut())() else { break };
            stream.write_all(&request.bytes).await.expect("the server reads");
            let answer = read_message(&mut stream, &mut buffer).await.expect("the server answers");
            let now = Instant::now();
            let body = String::from_utf8_lossy(&answer.body);
            if answer.first_line.starts_with("HTTP/1.1 503 ") || body.contains(BUSY) {
                refused.set(refused.get() + 1);
                continue;
            }
            assert!(
                answer.first_line.starts_with("HTTP/1.1 200 ") && body.contains(&request.expect),
                "{} {body}, but not {}",
                answer.first_line,
                request.expect,
            );
            latencies.borrow_mut().push(now - due);
            last_answer.set(now);
        }
    }))
    .await;
    let mut latencies = latencies.into_inner();
    latencies.sort_unstable();
    Figures { latencies, refused: refused.get(), elapsed: last_answer.get() - began }
}

/// When requests are due. A thread keeps the time: the runtime's timers are a millisecond coarse.
struct Pace {
    due: Arc<Semaphore>,
    taken: Cell<u32>,
    began: Instant,
    every: Duration,
}

impl Pace {
    fn start(rate: f64, began: Instant, duration: Duration) -> Self {
        let due = Arc::new(Semaphore::new(0));
        let every = Duration::from_secs_f64(1.0 / rate);
        let permits = Arc::clone(&due);
        std::thread::spawn(move || {
            for n in 0.. {
                let at = every * n;
                if at >= duration {
                    break;
                }
                std::thread::sleep((began + at).saturating_duration_since(Instant::now()));
                permits.add_permits(1);
            }
            permits.close();
        });
        Self { due, taken: Cell::new(0), began, every }
    }

    async fn next(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        let n = self.taken.replace(self.taken.get() + 1);
        Some(self.began + self.every * n)
    }
}
