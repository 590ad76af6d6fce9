//! A client that returns what a test looks at: status, headers, JSON.

use std::time::{Duration, Instant};

use serde_json::Value;

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Lower-case names, in order.
    pub headers: Vec<(String, String)>,
    /// Body as text.
    pub text: String,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// The first header `name` (lower case), or empty.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| {
            panic!("status {}: not JSON ({error}): {}", self.status, self.text)
        })
    }

    /// Ids of `items`, in order.
    ///
    /// # Panics
    /// Where the body has none.
    #[must_use]
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        let body = self.json();
        let items = body["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no items in {body}"));
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// Sends a request; statuses are answers, not errors.
///
/// # Panics
/// Where there is no answer within 30 s.
#[track_caller]
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
    try_send(method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// Like [`send`], with the transport's error.
///
/// # Errors
/// Where there is no answer within 30 s.
pub fn try_send(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Result<Answer, ureq::Error> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(30)));
    let agent: ureq::Agent = config.build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let started = Instant::now();
    let mut answer = match body {
        Some(body) => agent.run(request.body(body)?)?,
        None => agent.run(request.body(())?)?,
    };
    let text = answer.body_mut().read_to_string()?;
    let headers = answer.headers().iter().map(|(name, value)| {
        (
            name.as_str().to_owned(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        )
    });
    let headers = headers.collect();
    Ok(Answer {
        status: answer.status().as_u16(),
        headers,
        text,
        took: started.elapsed(),
    })
}

/// `GET url`.
#[track_caller]
#[must_use]
pub fn get(url: &str) -> Answer {
    send("GET", url, &[], None)
}

/// `POST url` with a JSON body.
#[track_caller]
#[must_use]
pub fn post(url: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    send("POST", url, &headers, Some(body.to_string().as_bytes()))
}

/// Polls until `done` returns a value, at most `limit`.
///
/// # Panics
/// Where it never does.
#[track_caller]
pub fn eventually<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `POST` of a body that the server may refuse before it has read all of it: what cannot be
/// written is dropped, the answer is read all the same. Returns the answer's head and body.
///
/// # Panics
/// Where there is no answer.
#[must_use]
pub fn post_refused(base: &str, path: &str, body: &[u8]) -> String {
    use std::io::{Read, Write};
    let address = base.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout can be set");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("the head is read");
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.is_empty(), "the server closed without an answer");
    String::from_utf8_lossy(&answer).into_owned()
}
