//! Files of `--assets`, read once at start: a path is a key, so nothing outside can be named.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use edgewise_wire::problem::{CONTENT_TYPE, Problem};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};

use crate::limits::{ASSETS_BYTES_MAX, ASSETS_DEPTH_MAX, ASSETS_MAX};

/// Browsers ask again each time; the entity tag answers.
const CACHE_CONTROL: &str = "public, max-age=0, must-revalidate";

/// Why a folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssetsError {
    /// The system's reason.
    #[error("--assets: {} cannot be read: {error}", path.display())]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// More than is kept in memory.
    #[error("--assets: more than {ASSETS_MAX} files, {ASSETS_DEPTH_MAX} levels or 64 MiB")]
    TooMuch,
}

#[derive(Debug)]
struct Asset {
    content_type: &'static str,
    etag: HeaderValue,
    body: Bytes,
}

/// All files by path.
#[derive(Debug, Default)]
pub(crate) struct Assets(HashMap<String, Asset>);

impl Assets {
    /// Reads a folder with what is below it; hidden files are left out.
    ///
    /// # Errors
    /// Something cannot be read, or there is too much of it.
    pub(crate) fn load(folder: &Path) -> Result<Self, AssetsError> {
        let mut assets = Self::default();
        let mut bytes_left = ASSETS_BYTES_MAX;
        assets.add(folder, "", 0, &mut bytes_left)?;
        Ok(assets)
    }

    fn add(
        &mut self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        bytes_left: &mut u64,
    ) -> Result<(), AssetsError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |error| AssetsError::Read { path, error }
        };
        if depth > ASSETS_DEPTH_MAX {
            return Err(AssetsError::TooMuch);
        }
        for entry in fs::read_dir(folder).map_err(failed(folder))? {
            let entry = entry.map_err(failed(folder))?;
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let kind = entry.file_type().map_err(failed(&path))?;
            if kind.is_dir() {
                self.add(&path, &format!("{prefix}/{name}"), depth + 1, bytes_left)?;
            } else if kind.is_file() {
                let body = fs::read(&path).map_err(failed(&path))?;
                *bytes_left = bytes_left
                    .checked_sub(body.len() as u64)
                    .filter(|_| self.0.len() < ASSETS_MAX)
                    .ok_or(AssetsError::TooMuch)?;
                self.insert(format!("{prefix}/{name}"), body);
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: String, body: Vec<u8>) {
        let mut hasher = std::hash::BuildHasherDefault::<DefaultHasher>::default().build_hasher();
        hasher.write(&body);
        let etag = format!("\"{:016x}\"", hasher.finish());
        let asset = Asset {
            content_type: content_type(&path),
            etag: HeaderValue::try_from(etag).expect("hexadecimal digits are a value"),
            body: body.into(),
        };
        self.0.insert(path, asset);
    }

    /// The file at a path (of a folder its `index.html`), or a 404.
    pub(crate) fn answer(&self, path: &str, asked: &HeaderMap) -> Response<Bytes> {
        let found = self.0.get(path).or_else(|| {
            let folder = path.strip_suffix('/')?;
            self.0.get(&format!("{folder}/index.html"))
        });
        let Some(asset) = found else {
            return missing();
        };
        let matches = asked
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| names(value, &asset.etag));
        let mut answer = Response::new(if matches {
            Bytes::new()
        } else {
            asset.body.clone()
        });
        if matches {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = answer.headers_mut();
        headers.insert(header::ETAG, asset.etag.clone());
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(CACHE_CONTROL),
        );
        if !matches {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(asset.content_type),
            );
            headers.insert(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            );
        }
        answer
    }
}

/// Whether `If-None-Match` names the tag (RFC 9110 section 13.1.2: weak comparison).
fn names(value: &str, etag: &HeaderValue) -> bool {
    value.split(',').map(str::trim).any(|tag| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.as_bytes() == etag.as_bytes()
    })
}

fn missing() -> Response<Bytes> {
    let problem = Problem::not_found("there is no such page");
    let mut answer = Response::new(Bytes::from(problem.to_json()));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("dist");
        fs::create_dir_all(root.join("sub")).expect("folders");
        for (name, text) in [
            ("index.html", "<p>"),
            ("app.js", "1"),
            ("sub/a.css", "a{}"),
            (".env", "secret"),
            ("../outside.txt", "secret"),
        ] {
            fs::write(root.join(name), text).expect("a file");
        }
        std::os::unix::fs::symlink(folder.path().join("outside.txt"), root.join("link.txt"))
            .expect("a link");
        folder
    }

    #[test]
    fn files_have_types_and_tags() {
        let folder = folder();
        let assets = Assets::load(&folder.path().join("dist")).expect("readable");
        let none = HeaderMap::new();
        let page = assets.answer("/", &none);
        assert_eq!(page.body(), "<p>");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(assets.answer("/sub/a.css", &none).body(), "a{}");
        let script = assets.answer("/app.js", &none);
        let mut again = HeaderMap::new();
        let tag = script.headers()["etag"].to_str().expect("text");
        let list = HeaderValue::from_str(&format!("\"x\", W/{tag}")).expect("a value");
        again.insert(header::IF_NONE_MATCH, list);
        let unchanged = assets.answer("/app.js", &again);
        assert_eq!(unchanged.status(), 304);
        assert!(unchanged.body().is_empty());
    }

    #[test]
    fn nothing_else_can_be_named() {
        let folder = folder();
        let assets = Assets::load(&folder.path().join("dist")).expect("readable");
        for path in [
            "/../outside.txt",
            "/sub/../../outside.txt",
            "/%2e%2e/outside.txt",
            "/..%2foutside.txt",
            "/link.txt",
            "/.env",
            "//index.html",
            "/sub",
            "",
            "*",
        ] {
            let answer = assets.answer(path, &HeaderMap::new());
            assert_eq!(answer.status(), 404, "{path}");
        }
        assert!(Assets::load(&folder.path().join("absent")).is_err());
    }
}
