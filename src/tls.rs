//! TLS for every connection that leaves this machine: the provider's, Inngest's and the database's.
//!
//! Lives here: the authorities that this machine trusts. What a database's `sslmode` makes of them is in
//! `ledger::postgres::tls`. A machine without authorities is no fault until somebody has to be trusted.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};

/// What to do where a certificate has to be checked and there is nothing to check it with.
pub const NO_AUTHORITIES: &str = "this machine has no certificate authorities: install the package `ca-certificates`, or set SSL_CERT_FILE";

/// The authorities of this machine, read once; none where no bundle is installed.
pub fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    Arc::clone(&ROOTS)
}

/// The one implementation of cryptography.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// For HTTP: trusts what this machine trusts.
pub fn client_config() -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of every version that rustls offers by default")
        .with_root_certificates(system_roots())
        .with_no_client_auth()
}
