//! Which pages may call from a browser: those of configured origins, our own, and in `dev` every page of this
//! machine.
//!
//! Decides for CORS and for WebSockets, which CORS does not cover. A page that is refused sees no reason (browsers
//! hide it), so the log says which setting would let it in. Not here: who may do what; that takes a token, whatever
//! the page.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{
    HeaderMap, HeaderValue, Method,
    header::{HOST, RETRY_AFTER},
    request::Parts,
};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::{Host, Url};

use crate::listener::REQUEST_ID_HEADER;

/// How long a browser may remember what we allow a page.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(600);
/// Refused origins that the log names, each once. An origin is whatever a client sends, so there must be an end.
const REFUSALS_LOGGED_MAX: usize = 100;
/// What the log shows of one.
const ORIGIN_SHOWN_MAX_BYTES: usize = 200;

/// The origins whose pages may call.
pub(super) struct Origins {
    listed: Vec<HeaderValue>,
    loopback: bool,
    refused: Mutex<HashSet<HeaderValue>>,
}

impl Origins {
    /// The listed ones, our own, and with `loopback` every one of this machine.
    pub(super) fn new(listed: Vec<HeaderValue>, loopback: bool) -> Self {
        Self { listed, loopback, refused: Mutex::default() }
    }

    /// Whether a page of this origin, which sent these headers, may call.
    pub(super) fn admits(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let admitted =
            self.listed.contains(origin) || is_own(origin, headers) || (self.loopback && is_loopback(origin));
        if !admitted {
            self.log_refusal(origin);
        }
        admitted
    }

    fn log_refusal(&self, origin: &HeaderValue) {
        // Every change is one call: a panic elsewhere leaves nothing half done.
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSALS_LOGGED_MAX || !refused.insert(origin.clone()) {
            return;
        }
        let shown = origin.as_bytes().get(..ORIGIN_SHOWN_MAX_BYTES).unwrap_or(origin.as_bytes());
        let shown = shown.escape_ascii();
        tracing::warn!(origin = %shown, "a page was refused: QUITTANCE_CORS_ORIGINS lists the origins whose pages may call");
    }
}

/// A page that this server itself gave out.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    authority.zip(host).is_some_and(|((_, authority), host)| authority.eq_ignore_ascii_case(host))
}

/// A page of this machine, on whatever port: `localhost`, 127.0.0.0/8 or `[::1]`.
fn is_loopback(origin: &HeaderValue) -> bool {
    let Some(url) = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok()) else { return false };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    // An origin as browsers write it, and nothing that only parses like one.
    let is_origin = url.origin().ascii_serialization().as_bytes() == origin.as_bytes();
    is_here && is_origin && matches!(url.scheme(), "http" | "https")
}

/// What the answers tell browsers. Pages that may call may send any header, since tracing tools add their own; what
/// lies at a `public` path may be read by every page.
pub(super) fn cors(origins: Arc<Origins>, public: Vec<&'static str>) -> CorsLayer {
    let may_read = move |origin: &HeaderValue, request: &Parts| {
        public.contains(&request.uri.path()) || origins.admits(origin, &request.headers)
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(may_read))
        .allow_methods([Method::POST, Method::GET, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID_HEADER, RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_on_any_port_and_nothing_that_only_looks_like_it() {
        for origin in [
            "http://localhost",
            "http://localhost:5173",
            "https://localhost:3000",
            "http://127.0.0.1:8080",
            "http://127.4.5.6",
            "http://[::1]:5173",
        ] {
            assert!(is_loopback(&HeaderValue::from_static(origin)), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://evil.example#localhost",
            "http://localhost@evil.example",
            "http://localhost/",
            "http://LOCALHOST:1/x",
            "ftp://localhost",
            "http://128.0.0.1",
            "http://[::2]",
            "http://192.168.0.2:3000",
        ] {
            assert!(!is_loopback(&HeaderValue::from_static(origin)), "{origin}");
        }
    }
}
