//! Keys and tokens: as configured, else made once and kept in the data directory.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use edgewise_wire::keys::Keys;

/// File of the token keys in the data directory.
const KEYS_FILE: &str = "token-keys";
/// File of the admin token in the data directory.
const ADMIN_FILE: &str = "admin-token";
/// Shortest admin token, bytes.
const ADMIN_BYTES_MIN: usize = 16;

/// The keys that sign cursors, sessions and JWTs.
///
/// # Errors
///
/// The configured or stored text is no key ring, or the file cannot be read or written.
pub fn token_keys(configured: Option<&str>, data: &Path) -> anyhow::Result<Keys> {
    let text = match configured {
        Some(text) => text.to_owned(),
        None => stored(&data.join(KEYS_FILE), || {
            let keys = Keys::from_secret("k1", &rand::random::<[u8; 32]>())?;
            Ok(keys.to_text())
        })?,
    };
    Keys::parse(&text).context("auth.token_keys is not valid; use kid:base64url[,kid:base64url]")
}

/// The bearer token of internal and admin routes.
///
/// # Errors
///
/// The configured token is too short, or the file cannot be read or written.
pub fn admin_token(configured: Option<&str>, data: &Path) -> anyhow::Result<String> {
    let token = match configured {
        Some(token) => token.to_owned(),
        None => stored(&data.join(ADMIN_FILE), || {
            Ok(rand::random::<[u8; 32]>()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect())
        })?,
    };
    anyhow::ensure!(
        token.len() >= ADMIN_BYTES_MIN && token.bytes().all(|byte| byte.is_ascii_graphic()),
        "auth.admin_token must have 16 or more visible ASCII characters; make one with `openssl rand -hex 32`"
    );
    Ok(token)
}

/// The text of `path`; made and written where there is none.
fn stored(path: &Path, make: impl Fn() -> anyhow::Result<String>) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| {
                format!("`{}` cannot be read; check its permissions", path.display())
            });
        }
    }
    let text = make()?;
    write_private(path, &text)?;
    tracing::info!(path = %path.display(), "made a secret; keep the file, or configure your own");
    Ok(text)
}

/// Writes a file that only this user may read.
///
/// # Errors
///
/// It cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> std::io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| {
        format!(
            "`{}` cannot be written; check the folder's permissions",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_private() {
        let data = tempfile::tempdir().expect("a folder");
        let keys = token_keys(None, data.path()).expect("made");
        assert_eq!(
            token_keys(None, data.path()).expect("kept").to_text(),
            keys.to_text()
        );
        let token = admin_token(None, data.path()).expect("made");
        assert_eq!(admin_token(None, data.path()).expect("kept"), token);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(data.path().join(ADMIN_FILE))
                .expect("there")
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
        assert!(admin_token(Some("short"), data.path()).is_err());
        assert!(token_keys(Some("nonsense"), data.path()).is_err());
    }
}
