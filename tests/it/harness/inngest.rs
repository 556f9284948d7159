//! A server that plays Inngest's event API, in whatever mood a test wants it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// How it treats one call.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    /// Takes the events and says so.
    Content,
    /// Answers so and takes nothing.
    Status(u16),
    /// Sends the caller elsewhere: back to itself.
    Redirect,
    /// Takes the events, and the connection breaks before it says so.
    Breaks,
    /// Takes the events and never answers.
    Silent,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    pub events: Vec<Value>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Events of calls that were not turned away, in the order they came.
    taken: Vec<Value>,
    /// The moods of the next calls; then `usual`.
    moods: VecDeque<Mood>,
    usual: Option<Mood>,
    at_once: usize,
    most_at_once: usize,
}

/// The server. It lives as long as the test's runtime.
#[derive(Clone)]
pub struct FakeInngest {
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl FakeInngest {
    /// In these moods for its first calls, then content.
    pub async fn start(moods: &[Mood]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let state = State { moods: moods.iter().copied().collect(), ..State::default() };
        let fake = Self { url, state: Arc::new(Mutex::new(state)) };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let fake = fake.clone();
                        async move { fake.answer(request).await }
                    });
                    // A broken connection is what some moods are for.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        fake
    }

    /// Its mood from now on, once the first ones are over.
    pub fn be(&self, mood: Mood) {
        self.state.lock().expect("whole").usual = Some(mood);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().expect("whole").calls.clone()
    }

    /// What it took, repetitions included.
    pub fn taken(&self) -> Vec<Value> {
        self.state.lock().expect("whole").taken.clone()
    }

    /// How many calls were ever under way together.
    pub fn most_at_once(&self) -> usize {
        self.state.lock().expect("whole").most_at_once
    }

    /// The names of what it took under each id once, where `data[field]` is `value`.
    pub fn names(&self, field: &str, value: &str) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        let taken = self.taken().into_iter().filter(|event| event["data"][field] == value);
        let first = taken.filter(|event| seen.insert(event["id"].as_str().expect("an id").to_owned()));
        first.map(|event| event["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Waits until something holds of it.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..1_000 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: {:#?}", self.calls());
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        let events: Vec<Value> = serde_json::from_slice(&body).expect("an array of events");
        let mood = {
            let mut state = self.state.lock().expect("whole");
            let usual = state.usual.unwrap_or(Mood::Content);
            let mood = state.moods.pop_front().unwrap_or(usual);
            if matches!(mood, Mood::Content | Mood::Breaks | Mood::Silent) {
                state.taken.extend(events.iter().cloned());
            }
            state.calls.push(Call { path, events });
            state.at_once += 1;
            state.most_at_once = state.most_at_once.max(state.at_once);
            mood
        };
        // Long enough for a second sender to show itself.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let answer = |status: u16| {
            let body = Full::from(r#"{"ids":[],"status":200}"#);
            Response::builder().status(StatusCode::from_u16(status).expect("a status")).body(body)
        };
        let answer = match mood {
            Mood::Content => Ok(answer(200)),
            Mood::Status(status) => Ok(answer(status)),
            Mood::Redirect => Ok(Response::builder()
                .status(307)
                .header("location", format!("{}/elsewhere", self.url))
                .body(Full::default())),
            Mood::Breaks => Err(std::io::Error::other("as asked")),
            Mood::Silent => {
                self.state.lock().expect("whole").at_once -= 1;
                return std::future::pending().await;
            }
        };
        self.state.lock().expect("whole").at_once -= 1;
        answer.map(|answer| answer.expect("an answer"))
    }
}
