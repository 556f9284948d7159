//! Values as people's tools write them, whichever way they come in.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    calmony: CalmonyArgs,
}

/// What these flags give; where they are refused, what is said.
fn given(flags: &[&str]) -> Result<Settings, String> {
    Settings::try_parse_from(["quittance"].iter().chain(flags)).map_err(|error| error.to_string())
}

const SECRET: &str = "whsec_0123456789abcdef01234567";

#[test]
fn what_stands_around_a_value_is_removed() {
    for around in [" {} ", "{}\n", "{}\r\n", "\u{feff}{}", "\u{feff} {}\t\r\n", "\n{}"] {
        let wrapped = |value: &str| around.replace("{}", value);
        let settings = given(&[
            "--database-url",
            &wrapped("sqlite:///var/lib/quittance/a.db"),
            "--rpc-addr",
            &wrapped("127.0.0.1:1"),
            "--public-url",
            &wrapped("https://pay.example.com"),
            "--rate-limit",
            &wrapped("7"),
            "--keep-alive",
            &wrapped("2m"),
            "--cors-origins",
            &wrapped("https://a.example, https://b.example"),
            "--calmony-pay-secret-key",
            &wrapped(SECRET),
            "--calmony-pay-webhook-secret",
            &wrapped(&format!("{SECRET} , {SECRET}")),
        ]);
        let settings = settings.unwrap_or_else(|why| panic!("{around:?}: {why}"));
        assert_eq!(settings.database.database_url.expose_secret(), "sqlite:///var/lib/quittance/a.db");
        assert_eq!(settings.server.rpc_addr.port(), 1);
        assert_eq!(settings.server.public_url.unwrap().as_str(), "https://pay.example.com/");
        assert_eq!((settings.server.rate_limit, settings.server.keep_alive.as_secs()), (7, 120));
        assert_eq!(settings.server.cors_origins, ["https://a.example", "https://b.example"]);
        let calmony = settings.calmony.check().unwrap();
        assert_eq!(calmony.secret_key.expose_secret(), SECRET);
        let webhook: Vec<_> = calmony.webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(webhook, [SECRET, SECRET]);
    }
}

#[test]
fn quotes_and_line_breaks_are_refused_under_the_variables_name_and_never_shown() {
    let url = "https://pay.example.com";
    for (flag, variable, value) in [
        ("--database-url", "DATABASE_URL", "sqlite:///var/lib/quittance/a.db"),
        ("--rpc-addr", "QUITTANCE_RPC_ADDR", "127.0.0.1:1"),
        ("--public-url", "QUITTANCE_PUBLIC_URL", url),
        ("--return-url", "QUITTANCE_RETURN_URL", url),
        ("--cors-origins", "QUITTANCE_CORS_ORIGINS", url),
        ("--rate-limit", "QUITTANCE_RATE_LIMIT", "500"),
        ("--drain", "QUITTANCE_DRAIN", "5s"),
        ("--calmony-pay-secret-key", "CALMONY_PAY_SECRET_KEY", SECRET),
        ("--calmony-pay-secret-key-file", "CALMONY_PAY_SECRET_KEY_FILE", "/run/key"),
        ("--calmony-pay-webhook-secret", "CALMONY_PAY_WEBHOOK_SECRET", SECRET),
        ("--calmony-pay-api-url", "CALMONY_PAY_API_URL", url),
        ("--inngest-event-key", "INNGEST_EVENT_KEY", SECRET),
        ("--inngest-base-url", "INNGEST_BASE_URL", url),
    ] {
        for (wrong, word) in [
            (format!("\"{value}\""), "quotes"),
            (format!("'{value}'"), "quotes"),
            (format!(" \u{201c}{value}\u{201d}\n"), "quotes"),
            (format!("{value},'{value}'"), "quotes"),
            (format!("{value}\n{value}"), "line break"),
            (format!("{value},\r\n{value}"), "line break"),
        ] {
            let Err(why) = given(&[flag, &wrong]) else { panic!("{flag} takes {wrong:?}") };
            assert!(why.contains(variable) && why.contains(word), "{wrong:?}: {why}");
            assert!(!why.contains(value), "{why}");
        }
    }
}

#[test]
fn a_file_is_read_as_a_variable_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let read = |content: &str| {
        std::fs::write(file.path(), content).unwrap();
        let flags = ["--calmony-pay-secret-key-file", &path, "--calmony-pay-webhook-secret-file", &path];
        given(&flags).unwrap().calmony.check()
    };
    let calmony = read(&format!("\u{feff}{SECRET}\r\n")).unwrap();
    assert_eq!(calmony.secret_key.expose_secret(), SECRET);
    for (content, word) in [
        (format!("{SECRET}\n{SECRET}\n"), "line break"),
        (format!("\"{SECRET}\"\n"), "quotes"),
        ("\u{feff}\n".to_owned(), "is empty"),
    ] {
        let why = read(&content).unwrap_err();
        assert!(why.contains("CALMONY_PAY_SECRET_KEY") && why.contains(word), "{why}");
        assert!(!why.contains(SECRET), "{why}");
    }
}

#[test]
fn durations_have_units_and_ends() {
    for (flag, value) in [
        ("--keep-alive", "75"),
        ("--keep-alive", "0s"),
        ("--drain", "2days"),
        ("--drain", "-1s"),
        ("--drain", "soon"),
    ] {
        assert!(given(&[flag, value]).is_err(), "{flag} {value}");
    }
    let settings = given(&[]).unwrap().server;
    assert_eq!((settings.keep_alive, settings.drain), (Duration::from_secs(75), Duration::ZERO));
}
