//! The proxy behind two buffers: text in, JSON out.

use alloc::vec::Vec;

use crate::control::Control;
use crate::message::{Arrived, Asking, Refused};
use crate::proxy::{Options, Proxy};

/// Bytes of an input: three times the largest head that workerd takes, since it may be sized so.
const INPUT_BYTES_MAX: usize = 2 << 20;

/// What an isolate keeps.
#[derive(Debug)]
pub struct Isolate {
    input: Vec<u8>,
    output: Vec<u8>,
    proxy: Option<Proxy>,
}

impl Default for Isolate {
    fn default() -> Self {
        Self::new()
    }
}

impl Isolate {
    /// Without a configuration.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            input: Vec::new(),
            output: Vec::new(),
            proxy: None,
        }
    }

    /// A buffer of `len` bytes; `None` where that is over the limit.
    pub fn input(&mut self, len: usize) -> Option<&mut [u8]> {
        if len > INPUT_BYTES_MAX {
            return None;
        }
        self.input.resize(len.max(self.input.len()), 0);
        self.input.get_mut(..len)
    }

    /// What the last call said.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Takes the options, JSON; the output is a sentence where they are wrong, else empty.
    pub fn init(&mut self, len: usize) {
        let text = self.input.get(..len).unwrap_or(&[]);
        let options = serde_json::from_slice::<Options>(text);
        let made = options
            .map_err(|_| "the configuration is not understood")
            .and_then(|options| Proxy::new(&options));
        self.output.clear();
        match made {
            Ok(proxy) => self.proxy = Some(proxy),
            Err(sentence) => self.output.extend_from_slice(sentence.as_bytes()),
        }
    }

    /// A client's request: see [`Asking::parse`].
    pub fn request(&mut self, len: usize) {
        let refused = Refused(400, "the request is not text\n");
        let asking = self.text(len).ok_or(refused).and_then(Asking::parse);
        let control = self.proxy.as_mut().map(|proxy| proxy.request(asking));
        self.say(control);
    }

    /// What came of a request to the origin: see [`Arrived::parse`].
    pub fn response(&mut self, len: usize) {
        let arrived = self.text(len).and_then(Arrived::parse);
        let control = arrived.and_then(|arrived| Some(self.proxy.as_mut()?.response(&arrived)));
        self.say(control);
    }

    /// See [`Proxy::late`].
    pub fn late(&mut self, id: u32, now_ms: i64) {
        let control = self.proxy.as_mut().map(|proxy| proxy.late(id, now_ms));
        self.say(control);
    }

    /// See [`Proxy::body`].
    pub fn body(&mut self, id: u32, bytes: Option<u64>) {
        let control = self.proxy.as_mut().map(|proxy| proxy.body(id, bytes));
        self.say(control);
    }

    fn text(&self, len: usize) -> Option<&str> {
        core::str::from_utf8(self.input.get(..len)?).ok()
    }

    fn say(&mut self, control: Option<Control>) {
        self.output.clear();
        let control = control.unwrap_or_default();
        if let Ok(json) = serde_json::to_vec(&control) {
            self.output = json;
        }
    }
}
