//! Browsers of other origins: CORS for calls, and the origin of WebSockets.

use http::HeaderValue;

use super::*;

async fn server() -> Server {
    let cors_origins = vec![HeaderValue::from_static("https://app.example")];
    Server::with(RpcSettings { cors_origins, ..RpcSettings::default() }).await
}

const PREFLIGHT: &str =
    "access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n";

#[tokio::test]
async fn a_preflight_allows_configured_origins_only() {
    let server = server().await;
    let head = format!("origin: https://app.example\r\n{PREFLIGHT}");
    let reply = server.wire().await.ask("OPTIONS", "/rpc", &head, "").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("POST,GET,OPTIONS"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("content-type,authorization,x-request-id"));

    let head = format!("origin: https://evil.example\r\n{PREFLIGHT}");
    let reply = server.wire().await.ask("OPTIONS", "/rpc", &head, "").await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn answers_may_be_read_by_configured_origins_with_the_headers_that_matter() {
    let server = server().await;
    let call = request(1, "rpc.discover", json!({}));
    let reply = server.wire().await.post_with("origin: https://app.example\r\n", &call).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("access-control-expose-headers"), Some("x-request-id,retry-after"));
    let reply = server.wire().await.post_with("origin: https://evil.example\r\n", &call).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn nothing_is_said_of_origins_where_none_is_configured() {
    let server = Server::start().await;
    let head = format!("origin: https://app.example\r\n{PREFLIGHT}");
    let reply = server.wire().await.ask("OPTIONS", "/rpc", &head, "").await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, None));
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
        let (reply, _) = server.wire().await.upgrade("/rpc", head).await;
        assert_eq!(reply.status, status, "{head}");
    }
}
