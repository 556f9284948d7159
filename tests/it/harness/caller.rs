//! Whoever calls: an agent, an admin, a stranger, nobody. Calls go over the wire, as a frontend's do.

use serde_json::{Value, json};

use super::{Socket, Wire};

/// Somebody with a token, or without one.
#[derive(Clone)]
pub struct TestCaller {
    http: reqwest::Client,
    url: String,
    pub token: Option<String>,
}

/// An error answer: `error.code`, `error.message` and `error.data`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub code: i64,
    pub message: String,
    pub data: Value,
}

impl Fault {
    /// `error.data.kind`.
    pub fn kind(&self) -> &str {
        self.data["kind"].as_str().unwrap_or("(none)")
    }
}

/// What `payment.createPaymentTask` answers.
#[derive(Clone, Debug)]
pub struct Created {
    pub id: String,
    pub checkout_url: String,
}

impl Created {
    /// The provider's session id, from the sandbox's link.
    pub fn session_id(&self) -> &str {
        self.checkout_url.rsplit('/').next().expect("a path")
    }
}

impl TestCaller {
    pub fn new(http: reqwest::Client, url: String, token: Option<String>) -> Self {
        Self { http, url, token }
    }

    /// Somebody else, by their token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same caller at another server.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// A WebSocket, opened with the caller's token.
    pub async fn socket(&self) -> Socket {
        self.try_socket().await.expect("the token counts")
    }

    /// The same; none for whom the server does not know.
    async fn try_socket(&self) -> Option<Socket> {
        let token = self.token.as_deref().unwrap_or_default();
        let head = format!("authorization: Bearer {token}\r\n");
        let (reply, socket) = Wire::to(&self.url).await.upgrade("/rpc", &head).await;
        assert!(matches!(reply.status, 101 | 401), "{reply:?}");
        (reply.status == 101).then_some(socket)
    }

    /// Calls a procedure, over a WebSocket where it needs one and the caller gets one. The answer must be as the
    /// published schema says.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, Fault> {
        self.attempt(method, params).await.expect("an answer")
    }

    /// As [`TestCaller::call`], of a server that may be gone before it answers: then there is none.
    pub async fn attempt(&self, method: &str, params: Value) -> Option<Result<Value, Fault>> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let socket = match super::schema::needs_socket(method) {
            true => self.try_socket().await,
            false => None,
        };
        let answer: Value = match socket {
            Some(mut socket) => socket.call(&body.to_string()).await,
            None => self.request(&body).send().await.ok()?.json().await.ok()?,
        };
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        assert_eq!(answer["id"], 1, "{answer}");
        super::schema::check(method, &answer);
        Some(match answer.get("error") {
            None => Ok(answer["result"].clone()),
            Some(error) => Err(Fault {
                code: error["code"].as_i64().expect("a code"),
                message: error["message"].as_str().expect("a message").to_owned(),
                data: error["data"].clone(),
            }),
        })
    }

    /// Calls a procedure that must succeed.
    pub async fn ok(&self, method: &str, params: Value) -> Value {
        self.call(method, params.clone()).await.unwrap_or_else(|fault| panic!("{method} {params}: {fault:?}"))
    }

    /// Calls a procedure that must fail; the kind of its error.
    pub async fn fails(&self, method: &str, params: Value) -> Fault {
        match self.call(method, params.clone()).await {
            Err(fault) => fault,
            Ok(result) => panic!("{method} {params} succeeded: {result}"),
        }
    }

    /// Sends any body, with the caller's token.
    pub async fn post(&self, body: &Value) -> reqwest::Response {
        self.request(body).send().await.expect("an answer")
    }

    fn request(&self, body: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(&self.url).json(body);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks for money: a custom payment of so many pence, nothing linked.
    pub async fn create(&self, amount_pence: i64) -> Created {
        self.create_with(json!({ "amountPence": amount_pence })).await
    }

    /// Asks for money, with these fields over the usual ones.
    pub async fn create_with(&self, fields: Value) -> Created {
        let result = self.ok("payment.createPaymentTask", create_params(fields)).await;
        Created {
            id: result["ledgerEntryId"].as_str().expect("an id").to_owned(),
            checkout_url: result["checkoutUrl"].as_str().expect("a link").to_owned(),
        }
    }

    /// A payment.
    pub async fn payment(&self, id: &str) -> Value {
        self.ok("payment.getPaymentStatus", json!({ "paymentId": id })).await
    }
}

/// The input of a create: the usual fields, and these over them.
pub fn create_params(fields: Value) -> Value {
    let mut params =
        json!({ "amountPence": 25_000, "paymentType": "custom", "description": "Replacement keys" });
    for (name, value) in fields.as_object().expect("fields") {
        params[name] = value.clone();
    }
    params
}
