//! The page a tenant pays on, as HTML forms that need no script, and a list of sessions for a developer.
//!
//! Lives here: what is shown for each state of a session, and what its buttons do. Does not live here: the style
//! sheet (`page/style.css`), and paying itself (`state`). There is no field for a card number, and never will be.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderValue, Method as HttpMethod, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};
use url::Url;

use super::exchange::{Request, Response, method_not_allowed, respond, see_other};
use super::model::{Method, Session, SessionStatus};
use super::{Refusal, Sandbox};

const STYLE: &str = include_str!("page/style.css");
/// The policy allows this one style sheet and nothing else.
static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));
/// The developer's list: more would not be read.
const LISTED_SESSIONS: usize = 50;

pub(super) async fn answer(
    sandbox: &Sandbox,
    request: &Request,
    session_id: &str,
    action: &[&str],
) -> Response {
    let Some(session) = sandbox.session(session_id) else { return unknown() };
    let post = request.method == HttpMethod::POST;
    let done = match action {
        [] if request.method == HttpMethod::GET => return shown(&session, StatusCode::OK),
        [] => return method_not_allowed("GET"),
        ["pay"] if post => match chosen_method(request) {
            Some(method) => sandbox.pay(session_id, method).await.map(|_| session.success_url.clone()),
            None => Err(Refusal::MethodNotAllowed),
        },
        // Back to the page, which tells of the decline: reloading it declines nothing again.
        ["decline"] if post => sandbox.decline(session_id).await.map(|_| session.url.clone()),
        ["leave"] if post => Ok(session.cancel_url.clone()),
        ["pay" | "decline" | "leave"] => return method_not_allowed("POST"),
        _ => return unknown(),
    };
    match done {
        Ok(next) => see_other(&next),
        // Paid, expired or changed meanwhile: the page as it stands now says so best.
        Err(refusal) => {
            let status = match refusal {
                Refusal::Unknown => StatusCode::NOT_FOUND,
                Refusal::MethodNotAllowed => StatusCode::BAD_REQUEST,
                Refusal::NotOpen | Refusal::NotProcessing | Refusal::NotRefundable => StatusCode::CONFLICT,
            };
            sandbox.session(session_id).map_or_else(unknown, |session| shown(&session, status))
        }
    }
}

/// The latest sessions, for whoever opens the sandbox's address itself.
pub(super) fn index(sandbox: &Sandbox, request: &Request) -> Response {
    if request.method != HttpMethod::GET {
        return method_not_allowed("GET");
    }
    let sessions: Vec<Session> = sandbox.state().sessions().rev().take(LISTED_SESSIONS).cloned().collect();
    let main = html! {
        h1 { "Checkout sessions" }
        @if sessions.is_empty() {
            p.note { "None yet. Create a payment and follow its checkout link, or reload this page." }
        }
        ul.sessions {
            @for session in &sessions {
                li {
                    a href=(session.url) { (pounds(session.amount_pence)) " · " (session.description) }
                    span.state { (state_words(session)) }
                }
            }
        }
    };
    page(StatusCode::OK, "Checkout sessions", &main, &[])
}

fn chosen_method(request: &Request) -> Option<Method> {
    let (_, method) = url::form_urlencoded::parse(&request.body).find(|(name, _)| name == "method")?;
    match method.as_ref() {
        "card" => Some(Method::Card),
        "open_banking" => Some(Method::OpenBanking),
        _ => None,
    }
}

fn shown(session: &Session, status: StatusCode) -> Response {
    let targets = [session.success_url.as_str(), session.cancel_url.as_str()];
    match session.status {
        SessionStatus::Open => page(status, "Pay", &open(session), &targets),
        SessionStatus::Complete if session.paid => {
            let (title, text) = ("Payment complete", "Thank you. Nothing more is needed from you.");
            page(status, title, &closed(session, "done", title, text, Some(&session.success_url)), &[])
        }
        SessionStatus::Complete => {
            let text = "Your bank is making the payment. This usually takes a few seconds.";
            let title = "Payment on its way";
            page(status, title, &closed(session, "wait", title, text, Some(&session.success_url)), &[])
        }
        SessionStatus::Expired => {
            let text = "Nothing was paid. Ask your letting agent for a new link.";
            let title = "This link has expired";
            page(status, title, &closed(session, "over", title, text, None), &[])
        }
    }
}

fn open(session: &Session) -> Markup {
    let base = format!("/checkout/{}", session.id);
    html! {
        (amount(session))
        @if let Some(error) = &session.last_payment_error {
            div.alert role="alert" {
                strong { (error.message) }
                " Nothing was taken. You can try again."
            }
        }
        div.actions {
            @for (index, method) in session.payment_method_types.iter().enumerate() {
                form method="post" action={ (base) "/pay" } {
                    @let class = if index == 0 { "button primary" } else { "button" };
                    @let (value, label, icon) = match method {
                        Method::Card => ("card", "Pay by card", CARD_ICON),
                        Method::OpenBanking => ("open_banking", "Pay by bank", BANK_ICON),
                    };
                    button class=(class) name="method" value=(value) { (PreEscaped(icon)) (label) }
                }
            }
        }
        p.note {
            "You will not be asked for card or bank details here. This link works until "
            time { (until(session)) } "."
        }
        section.other aria-labelledby="other" {
            h2 #other { "See what else can happen" }
            div.pair {
                form method="post" action={ (base) "/decline" } { button.quiet { "Decline" } }
                form method="post" action={ (base) "/leave" } { button.quiet { "Leave" } }
            }
        }
    }
}

fn closed(session: &Session, mark: &str, title: &str, text: &str, back: Option<&str>) -> Markup {
    let icon = match mark {
        "done" => "M5 12.5l4.5 4.5L19 7.5",
        "wait" => "M12 6.5v6l4 2.5",
        _ => "M7 7l10 10M17 7L7 17",
    };
    html! {
        div class={ "mark " (mark) } {
            svg viewBox="0 0 24 24" aria-hidden="true" { path d=(icon) {} }
        }
        h1.state-title { (title) }
        p.lead { (text) }
        dl {
            div { dt { "Amount" } dd { (pounds(session.amount_pence)) } }
            div { dt { "For" } dd { (session.description) } }
        }
        @if let Some(back) = back {
            a.button.primary href=(back) rel="noreferrer" { "Continue" }
        }
    }
}

fn amount(session: &Session) -> Markup {
    html! {
        h1 {
            span.label { "Amount to pay" }
            span.amount { (pounds(session.amount_pence)) }
        }
        p.description { (session.description) }
    }
}

fn unknown() -> Response {
    let main = html! {
        h1.state-title { "There is no such payment" }
        p.lead { "Check that the link is complete, or ask your letting agent for a new one." }
    };
    page(StatusCode::NOT_FOUND, "There is no such payment", &main, &[])
}

/// `form_targets` are the addresses a button may lead on to: browsers hold redirects after a form against the
/// policy too.
fn page(status: StatusCode, title: &str, main: &Markup, form_targets: &[&str]) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en-GB" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                title { (title) " – Calmony Pay sandbox" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                p.banner { strong { "Sandbox" } " – no real money" }
                div.sheet {
                    header { (PreEscaped(LOCK_ICON)) span { "Calmony Pay" } }
                    main { (main) }
                }
                footer { "A practice copy of the checkout. Payments made here move no money." }
            }
        }
    };
    let mut response = respond(status, "text/html; charset=utf-8", markup.into_string());
    let headers = response.headers_mut();
    // Origins of parsed URLs with plain host names: nothing in them can end a directive.
    let origins: Vec<String> = form_targets
        .iter()
        .filter_map(|url| Url::parse(url).ok())
        .map(|url| url.origin().ascii_serialization())
        .collect();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        *STYLE_HASH,
        origins.join(" ")
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not "no-referrer": browsers then send `Origin: null` with our own forms, which are refused.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn state_words(session: &Session) -> &'static str {
    match session.status {
        SessionStatus::Open if session.last_payment_error.is_some() => "declined, open",
        SessionStatus::Open => "open",
        SessionStatus::Complete if session.paid => "paid",
        SessionStatus::Complete => "processing",
        SessionStatus::Expired => "expired",
    }
}

fn until(session: &Session) -> String {
    // Only a date past the year 262,000 has no form.
    DateTime::from_timestamp(session.expires_at, 0)
        .map(|at| at.format("%H:%M on %-d %B (UTC)").to_string())
        .unwrap_or_default()
}

/// `£1,234.56`
fn pounds(pence: i64) -> String {
    let digits = (pence / 100).to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("£{grouped}.{:02}", pence % 100)
}

const CARD_ICON: &str = r#"<svg viewBox="0 0 24 24" aria-hidden="true"><rect x="2.5" y="5" width="19" height="14" rx="2.5"/><path d="M2.5 10h19M6 15h4"/></svg>"#;
const BANK_ICON: &str = r#"<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 9.5L12 4l9 5.5zM5.5 10v7M10 10v7M14 10v7M18.5 10v7M3 20h18"/></svg>"#;
const LOCK_ICON: &str = r#"<svg viewBox="0 0 24 24" aria-hidden="true"><rect x="5" y="10.5" width="14" height="9.5" rx="2.5"/><path d="M8.5 10.5V8a3.5 3.5 0 0 1 7 0v2.5"/></svg>"#;

#[cfg(test)]
mod tests {
    use super::pounds;

    #[test]
    fn pence_as_pounds() {
        let table = [(1, "£0.01"), (99_900, "£999.00"), (123_456, "£1,234.56"), (99_999_999, "£999,999.99")];
        for (pence, expected) in table {
            assert_eq!(pounds(pence), expected);
        }
        assert_eq!(pounds(100_000_000), "£1,000,000.00");
    }
}
