//! Who may: tokens good and bad, roles, revocation, expiry.

use super::*;

async fn outcome_of(server: &Server, head: &str, method: &str) -> Value {
    let reply = server.wire().await.post_with(head, &request(1, method, json!({}))).await;
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    answer.get("result").or_else(|| answer["error"]["data"].get("kind")).unwrap_or(&answer).clone()
}

#[tokio::test]
async fn only_a_token_that_counts_does() {
    let server = Server::start().await;
    let token = &server.agent;
    for (head, expected) in [
        (format!("authorization: Bearer {token}\r\n"), "all"),
        (format!("authorization: bearer   {token} \r\n"), "all"),
        (String::new(), "UNAUTHORIZED"),
        ("authorization: Bearer \r\n".into(), "UNAUTHORIZED"),
        ("authorization: Bearer qt_nobodys\r\n".into(), "UNAUTHORIZED"),
        (format!("authorization: Basic {token}\r\n"), "UNAUTHORIZED"),
        (format!("authorization: {token}\r\n"), "UNAUTHORIZED"),
        (format!("authorization: Bearer {token}x\r\n"), "UNAUTHORIZED"),
        (format!("authorization: Bearer {token}\r\nauthorization: Bearer {token}\r\n"), "UNAUTHORIZED"),
        // For WebSockets only.
        (format!("sec-websocket-protocol: quittance.v1, bearer.{token}\r\n"), "UNAUTHORIZED"),
    ] {
        assert_eq!(outcome_of(&server, &head, "toy.all").await, expected, "{head}");
    }
}

#[tokio::test]
async fn an_admin_may_do_all_an_agent_may_but_not_the_reverse() {
    let server = Server::start().await;
    let admin = format!("authorization: Bearer {}\r\n", server.admin);
    let agent = format!("authorization: Bearer {}\r\n", server.agent);
    assert_eq!(outcome_of(&server, &admin, "toy.admin").await, "admin");
    assert_eq!(outcome_of(&server, &admin, "toy.all").await, "all");
    assert_eq!(outcome_of(&server, &agent, "toy.admin").await, "FORBIDDEN");
    assert_eq!(outcome_of(&server, "", "toy.admin").await, "UNAUTHORIZED");
    assert_eq!(outcome_of(&server, "", "rpc.discover").await, "the document");
    assert_eq!(outcome_of(&server, "", "toy.nothing").await["error"]["code"], -32601);
}

#[tokio::test]
async fn a_revoked_or_expired_token_counts_no_more() {
    let server = Server::start().await;
    let head = format!("authorization: Bearer {}\r\n", server.agent);
    assert_eq!(outcome_of(&server, &head, "toy.all").await, "all");
    server.app.tokens.revoke(server.agent_id, Some(server.agency)).await.unwrap();
    assert_eq!(outcome_of(&server, &head, "toy.all").await, "UNAUTHORIZED");

    let soon = Timestamp::now().plus(Duration::from_millis(400));
    let (_, brief) = issue(&server.app, server.agency, Role::Agent, Some(soon)).await;
    let head = format!("authorization: Bearer {brief}\r\n");
    assert_eq!(outcome_of(&server, &head, "toy.all").await, "all");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(outcome_of(&server, &head, "toy.all").await, "UNAUTHORIZED");
}
