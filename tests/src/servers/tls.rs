//! Certificates for servers that speak TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon;
use super::folder::Folder;
use crate::{places, skip};

/// Whether a server speaks TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// No.
    #[default]
    Off,
    /// To clients that ask for it.
    Offered,
    /// And to no one without.
    Required,
}

/// An authority made for one server, and the server's certificate for `localhost` and
/// `127.0.0.1`.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate, PEM: what a client trusts.
    pub authority: PathBuf,
    /// The server's certificate, PEM.
    pub certificate: PathBuf,
    /// The server's key, PEM.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in the folder; where there is no `openssl`, says so.
    #[must_use]
    pub fn make(folder: &Folder) -> Option<Self> {
        let Some(openssl) = places::program("openssl", &[]) else {
            skip("no openssl: TLS to the server was not tested");
            return None;
        };
        let place = folder.subfolder("tls");
        let file = |name: &str| place.join(name);
        let (authority, certificate, key) =
            (file("ca.pem"), file("server.pem"), file("server.key"));
        let ca_key = file("ca.key");
        make(
            folder,
            &openssl,
            "/CN=Edgewise test authority",
            &authority,
            &ca_key,
            |request| {
                request.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
            },
        );
        make(
            folder,
            &openssl,
            "/CN=localhost",
            &certificate,
            &key,
            |request| {
                request
                    .arg("-CA")
                    .arg(&authority)
                    .arg("-CAkey")
                    .arg(&ca_key);
                request.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
                request.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
            },
        );
        Some(Self {
            authority,
            certificate,
            key,
        })
    }
}

/// One `openssl req`.
fn make(
    folder: &Folder,
    openssl: &Path,
    subject: &str,
    certificate: &Path,
    key: &Path,
    extend: impl FnOnce(&mut Command),
) {
    let mut request = Command::new(openssl);
    request.args(["req", "-x509", "-days", "30", "-noenc", "-subj", subject]);
    request.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    request.arg("-out").arg(certificate).arg("-keyout").arg(key);
    extend(&mut request);
    daemon::run(folder, &mut request);
}
