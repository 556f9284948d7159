//! jsonrpsee behind the listener: HTTP calls, a WebSocket, and its own way of stopping.

use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use jsonrpsee::server::{HttpBody, RpcModule, stop_channel};
use jsonrpsee::ws_client::WsClientBuilder;

use super::*;

#[tokio::test]
async fn a_websocket_works_outlives_the_limits_and_ends_with_the_stop_handle() {
    let mut module = RpcModule::new(());
    module.register_method("double", |params, _, _| params.one::<u64>().map(|n| 2 * n)).unwrap();
    let (stop, handle) = stop_channel();
    let builder = jsonrpsee::server::Server::builder().to_service_builder();
    let service = builder.build(module, stop);
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let mut service = service.clone();
        async move { service.call(request.map(HttpBody::new)).await }
    });

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let limits = Limits { keep_alive: ms(200), head_timeout: ms(200), ..Limits::default() };
    let task = tokio::spawn(serve(limits, listener, service, shutdown.clone()));

    let socket = WsClientBuilder::default().build(format!("ws://{addr}")).await.unwrap();
    for n in 1..3 {
        sleep(ms(500)).await;
        assert_eq!(socket.request::<u64, _>("double", rpc_params![n]).await.unwrap(), 2 * n);
    }
    let mut http = Client(TcpStream::connect(addr).await.unwrap());
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"double","params":[21]}"#;
    let length = call.len();
    http.send(format!(
        "POST / HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{call}"
    ))
    .await;
    assert!(http.reply().await.body.contains("42"));

    shutdown.cancel();
    handle.stop().unwrap();
    timeout(PATIENCE, task).await.expect("the WebSocket is closed by jsonrpsee").unwrap();
    drop(socket);
}
