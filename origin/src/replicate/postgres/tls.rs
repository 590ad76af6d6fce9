//! How a connection is encrypted, and who the server must be: libpq's `sslmode`.

use std::path::Path;
use std::sync::Arc;

use pgwire_replication::SslMode;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::PgError;
use crate::replicate::config::TlsOptions;

/// Takes from the URL what says how TLS is used, as libpq understands it.
pub(super) fn take(
    url: &str,
    options: &TlsOptions,
) -> Result<(String, SslMode, TlsOptions), PgError> {
    let mut tls = options.clone();
    let mut mode = None;
    // A password may hold a `?`, but not before the last `@`.
    let from = url.rfind('@').unwrap_or_default();
    let Some(mark) = url.get(from..).and_then(|rest| rest.find('?')) else {
        return Ok((url.to_owned(), default_mode(&tls), tls));
    };
    let (head, query) = url.split_at(from + mark);
    let mut kept = Vec::new();
    for pair in query
        .trim_start_matches('?')
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" => mode = Some(read_mode(value)?),
            "sslrootcert" => tls.ca = Some(value.into()),
            "sslcert" => tls.cert = Some(value.into()),
            "sslkey" => tls.key = Some(value.into()),
            _ => kept.push(pair),
        }
    }
    let url = if kept.is_empty() {
        head.to_owned()
    } else {
        format!("{head}?{}", kept.join("&"))
    };
    let mut mode = mode.unwrap_or_else(|| default_mode(&tls));
    if mode == SslMode::Require && tls.ca.is_some() {
        // As libpq: a root that is named is used.
        mode = SslMode::VerifyCa;
    }
    Ok((url, mode, tls))
}

/// Without `sslmode`: as libpq, unless a root is configured.
fn default_mode(tls: &TlsOptions) -> SslMode {
    if tls.ca.is_some() {
        SslMode::VerifyFull
    } else {
        SslMode::Prefer
    }
}

fn read_mode(value: &str) -> Result<SslMode, PgError> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "allow" | "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        other => Err(PgError::Url(format!(
            "sslmode is {other:?}, but must be disable, prefer, require, verify-ca or verify-full"
        ))),
    }
}

pub(super) fn client_config(mode: SslMode, tls: &TlsOptions) -> Result<ClientConfig, PgError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has the default versions");
    let verifier: Arc<dyn ServerCertVerifier> = if mode.verifies_certificate() {
        let inner = WebPkiServerVerifier::builder_with_provider(roots(tls)?.into(), provider)
            .build()
            .map_err(|error| PgError::Url(format!("the roots cannot be used: {error}")))?;
        if mode.verifies_hostname() {
            inner
        } else {
            Arc::new(AnyName(inner))
        }
    } else {
        Arc::new(AnyCertificate(provider))
    };
    let builder = versions
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates("client certificate", cert)?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable("client key", key, &error))?;
            let config = builder.with_client_auth_cert(chain, secret);
            config.map_err(|error| unreadable("client certificate", cert, &error))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(PgError::Url(
            "tls.cert and tls.key belong together".to_owned(),
        )),
    }
}

fn roots(tls: &TlsOptions) -> Result<RootCertStore, PgError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &tls.ca else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    roots.add_parsable_certificates(certificates("root certificate", path)?);
    if roots.is_empty() {
        return Err(unreadable(
            "root certificate",
            path,
            &"it holds no certificate",
        ));
    }
    Ok(roots)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, PgError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    found.map_err(|error| unreadable(what, path, &error))
}

fn unreadable(what: &'static str, path: &Path, reason: &dyn std::fmt::Display) -> PgError {
    PgError::Certificate {
        what,
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// `sslmode=require`: encrypted, but to whom is not asked (as libpq).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

/// `sslmode=verify-ca`: from a trusted root, whatever name it bears (as libpq).
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        match self
            .0
            .verify_server_cert(certificate, between, name, ocsp, now)
        {
            Err(rustls::Error::InvalidCertificate(
                NotValidForName | NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, schemes)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let schemes = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, schemes)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, ca: Option<&str>, rest: &str, mode: SslMode) {
        let options = TlsOptions {
            ca: ca.map(Into::into),
            ..TlsOptions::default()
        };
        let (url, found, _) = take(url, &options).expect("a mode");
        assert_eq!((url.as_str(), found), (rest, mode));
    }

    #[test]
    fn sslmode_means_what_it_means_to_libpq() {
        check(
            "postgres://a@h/d",
            None,
            "postgres://a@h/d",
            SslMode::Prefer,
        );
        check(
            "postgres://a@h/d",
            Some("ca.pem"),
            "postgres://a@h/d",
            SslMode::VerifyFull,
        );
        check(
            "postgres://a@h/d?sslmode=require",
            None,
            "postgres://a@h/d",
            SslMode::Require,
        );
        check(
            "postgres://a@h/d?sslmode=require&sslrootcert=r.pem",
            None,
            "postgres://a@h/d",
            SslMode::VerifyCa,
        );
        check(
            "postgres://a:p?w@h/d?x=1&sslmode=verify-full&y=2",
            None,
            "postgres://a:p?w@h/d?x=1&y=2",
            SslMode::VerifyFull,
        );
        let unknown = take("postgres://a@h/d?sslmode=maybe", &TlsOptions::default());
        assert!(matches!(unknown, Err(PgError::Url(_))));
    }

    #[test]
    fn files_that_are_no_certificates_are_named() {
        let options = TlsOptions {
            ca: Some("/nowhere/ca.pem".into()),
            ..TlsOptions::default()
        };
        let error = client_config(SslMode::VerifyCa, &options).expect_err("no file");
        assert!(
            error
                .to_string()
                .starts_with("the root certificate /nowhere/ca.pem cannot be read"),
            "{error}"
        );
        let half = TlsOptions {
            cert: Some("c.pem".into()),
            ..TlsOptions::default()
        };
        assert!(client_config(SslMode::Require, &half).is_err());
        assert!(client_config(SslMode::VerifyFull, &TlsOptions::default()).is_ok());
    }
}
