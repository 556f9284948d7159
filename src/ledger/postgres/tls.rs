//! What `sslmode`, `sslrootcert`, `sslcert` and `sslkey` mean, which is what they mean to libpq.
//!
//! | `sslmode` | TLS | the certificate |
//! |---|---|---|
//! | `disable` | never | |
//! | `prefer` (the default) | where the server has it and it comes about | is not looked at, unless `sslrootcert` is given |
//! | `require` | always | is not looked at, unless `sslrootcert` is given |
//! | `verify-ca` | always | must come from a trusted authority |
//! | `verify-full` | always | and be made out to the host of the URL |
//!
//! Trusted is who stands in the file `sslrootcert`; without one, or with `sslrootcert=system`, whom this machine trusts.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use crate::tls;

/// `sslmode`. libpq's `allow` is left out: it would send everything in the clear wherever the server lets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The URL's parameters that are about TLS.
#[derive(Debug, Default)]
pub struct Parameters {
    pub mode: Option<Mode>,
    pub root_cert: Option<String>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl Mode {
    /// As it stands in the URL.
    pub fn parse(value: &str) -> Result<Self, String> {
        match value {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err("sslmode must be disable, prefer, require, verify-ca or verify-full".into()),
        }
    }
}

/// The mode that is meant, and how to speak TLS in it. Reads the files.
pub fn settings(given: Parameters) -> Result<(Mode, ClientConfig), String> {
    let Parameters { mode, root_cert, cert, key } = given;
    let from_system = root_cert.as_deref() == Some("system");
    let mode = match mode {
        None if from_system => Mode::VerifyFull,
        Some(weak) if from_system && weak != Mode::VerifyFull => {
            return Err(
                "sslrootcert=system goes with sslmode=verify-full alone: anybody can get a certificate \
                        from one of this machine's authorities"
                    .into(),
            );
        }
        given => given.unwrap_or(Mode::Prefer),
    };
    let file = root_cert.filter(|_| !from_system && mode != Mode::Disable).map(PathBuf::from);
    let trusted = match (file, mode) {
        (Some(path), _) => {
            let certificates = certificates(&path, "sslrootcert")?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.iter().cloned());
            Some(Trusted { roots: Arc::new(roots), themselves: certificates })
        }
        (None, Mode::VerifyCa | Mode::VerifyFull) => {
            let roots = tls::system_roots();
            if roots.is_empty() {
                return Err(format!("{}, or name a file with sslrootcert", tls::NO_AUTHORITIES));
            }
            Some(Trusted { roots, themselves: Vec::new() })
        }
        (None, Mode::Disable | Mode::Prefer | Mode::Require) => None,
    };
    let provider = tls::provider();
    let verifier = Verifier { trusted, names: mode == Mode::VerifyFull, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match (cert, key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates(&cert, "sslcert")?;
            let key = PrivateKeyDer::from_pem_file(&key)
                .map_err(|error| format!("sslkey {}: {error}", key.display()))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| format!("sslcert: {error}"))?
        }
        _ => return Err("sslcert and sslkey go together".into()),
    };
    Ok((mode, config))
}

fn certificates(path: &Path, parameter: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{parameter} {}: {why}", path.display());
    let read = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    if read.is_empty() { Err(failed(&"holds no certificate")) } else { Ok(read) }
}

/// Whose certificates count.
#[derive(Debug)]
struct Trusted {
    roots: Arc<RootCertStore>,
    /// A server's own certificate may stand in `sslrootcert`. As an authority it would often not do, since it says that it
    /// is none, or that it is one and so no server's.
    themselves: Vec<CertificateDer<'static>>,
}

/// Looks at a server's certificate as closely as the mode asks for. That the server has the certificate's key is checked
/// always.
#[derive(Debug)]
struct Verifier {
    /// `None` where any certificate will do.
    trusted: Option<Trusted>,
    names: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(Trusted { roots, themselves }) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if !themselves.contains(end_entity) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        }
        if self.names {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
