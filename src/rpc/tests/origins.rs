//! Browsers of other origins: CORS for calls, and the origin of WebSockets.

use http::HeaderValue;

use super::*;

async fn server() -> Server {
    let cors_origins = vec![HeaderValue::from_static("https://app.example")];
    Server::with(RpcSettings { cors_origins, ..RpcSettings::default() }).await
}

const PREFLIGHT: &str = "access-control-request-method: POST\r\naccess-control-request-headers: authorization,idempotency-key,sentry-trace\r\n";

async fn preflight(server: &Server, path: &str, origin: &str) -> Reply {
    server.wire().await.ask("OPTIONS", path, &format!("origin: {origin}\r\n{PREFLIGHT}"), "").await
}

#[tokio::test]
async fn a_preflight_allows_known_origins_any_header() {
    let server = server().await;
    let reply = preflight(&server, "/rpc", "https://app.example").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST,GET,OPTIONS"));
    let headers = reply.header("access-control-allow-headers");
    assert_eq!(headers, Some("authorization,idempotency-key,sentry-trace"));

    let reply = preflight(&server, "/rpc", "https://evil.example").await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn answers_may_be_read_by_known_origins_with_the_headers_that_matter() {
    let server = server().await;
    let call = request(1, "rpc.discover", json!({}));
    for (origin, allowed) in [
        ("https://app.example", true),
        // A page of this very server.
        ("https://quittance.test", true),
        ("https://evil.example", false),
        ("http://localhost:5173", false),
    ] {
        let reply = server.wire().await.post_with(&format!("origin: {origin}\r\n"), &call).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(reply.header("access-control-expose-headers"), Some("x-request-id,retry-after"));
    }
}

#[tokio::test]
async fn answers_of_every_status_say_so() {
    let body_timeout = Duration::from_millis(200);
    let cors_origins = vec![HeaderValue::from_static("https://app.example")];
    let settings =
        RpcSettings { cors_origins, body_timeout, rate_limit_per_second: 1, ..RpcSettings::default() };
    let server = Server::with(settings).await;
    let token = format!("authorization: Bearer {}\r\n", server.agent);
    let busy = request(1, "toy.busy", json!({}));
    let nothing = notification("toy.nothing", json!({}));
    for (status, method, path, more, length, body) in [
        (413, "POST", "/rpc", "", 200_000, ""),
        (408, "POST", "/rpc", "", 5, "{"),
        (415, "POST", "/rpc", "content-type: text/plain\r\n", 2, "{}"),
        (405, "PUT", "/rpc", "", 0, ""),
        (404, "GET", "/nothing", "", 0, ""),
        (400, "POST", "/rpc", "", 0, ""),
        (503, "POST", "/rpc", &token, busy.len(), &busy),
        (503, "POST", "/rpc", &token, busy.len(), &busy),
        (429, "POST", "/rpc", &token, busy.len(), &busy),
        (204, "POST", "/rpc", "", nothing.len(), &nothing),
    ] {
        let head = format!("origin: https://app.example\r\ncontent-length: {length}\r\n{more}");
        let reply = server.wire().await.ask(method, path, &head, body).await;
        let allowed = reply.header("access-control-allow-origin");
        assert_eq!((reply.status, allowed), (status, Some("https://app.example")), "{method} {path}");
    }
}

#[tokio::test]
async fn documents_may_be_read_by_every_page() {
    let documents = vec![super::super::Document::new("/openrpc.json", "application/json", "{}")];
    let server = Server::with(RpcSettings { documents, ..RpcSettings::default() }).await;
    let origin = "https://playground.example";
    assert_eq!(
        preflight(&server, "/openrpc.json", origin).await.header("access-control-allow-origin"),
        Some(origin)
    );
    let head = format!("origin: {origin}\r\n");
    let reply = server.wire().await.ask("GET", "/openrpc.json", &head, "").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(origin)));
    assert_eq!(preflight(&server, "/rpc", origin).await.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn in_development_every_page_of_this_machine_may_call_and_open_a_websocket() {
    let server = Server::with(RpcSettings { loopback_origins: true, ..RpcSettings::default() }).await;
    for (origin, status) in [
        ("http://localhost:5173", 101),
        ("https://localhost", 101),
        ("http://127.0.0.1:8080", 101),
        ("http://[::1]:3000", 101),
        ("http://localhost.evil.example", 403),
        ("https://app.example", 403),
    ] {
        let allowed = (status == 101).then_some(origin);
        assert_eq!(preflight(&server, "/rpc", origin).await.header("access-control-allow-origin"), allowed);
        let head = format!("origin: {origin}\r\nauthorization: Bearer {}\r\n", server.agent);
        let (reply, _) = server.wire().await.upgrade("/rpc", &head).await;
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, allowed));
    }
}

#[tokio::test]
async fn a_websocket_is_for_configured_origins_our_own_and_no_browser() {
    let server = server().await;
    for (head, status) in [
        ("", 101),
        ("origin: https://app.example\r\n", 101),
        ("origin: https://quittance.test\r\n", 101),
        ("origin: https://evil.example\r\n", 403),
        ("origin: https://quittance.test.evil.example\r\n", 403),
        ("origin: https://quittance.test:81\r\n", 403),
        ("origin: null\r\n", 403),
    ] {
        let head = format!("{head}authorization: Bearer {}\r\n", server.agent);
        let (reply, _) = server.wire().await.upgrade("/rpc", &head).await;
        assert_eq!(reply.status, status, "{head}");
    }
}
