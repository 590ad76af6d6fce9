//! A client's connection: what hyper writes, and interim answers (1xx) between.
//!
//! hyper's server cannot send interim answers. Between a request's arrival and its answer it
//! writes nothing, so they are written past it then: only while the request's [`Interim`] is open,
//! and only where everything hyper wrote has been flushed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// Bytes of the interim answers to one request; more are dropped.
const INTERIM_BYTES_MAX: usize = 16 << 10;

#[derive(Debug)]
struct State {
    stream: TcpStream,
    /// hyper has written what is not flushed.
    dirty: bool,
    /// Of an interim answer, what the socket would not take.
    pending: Vec<u8>,
    /// Bytes that interim answers to the open request may still take; 0 while there is none.
    room_bytes: usize,
    /// How long a client may read nothing of what is written, and since when it does.
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The connection, as hyper sees it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    state: Arc<Mutex<State>>,
}

/// The right to send interim answers to one request, until it is closed.
#[derive(Debug)]
pub(crate) struct Interim {
    connection: Connection,
}

impl Connection {
    /// `stall` is how long the client may take to read anything.
    pub(crate) fn new(stream: TcpStream, stall: Duration) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                stream,
                dirty: false,
                pending: Vec::new(),
                room_bytes: 0,
                stall,
                stalled: None,
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the time for interim answers to the request that has just come.
    pub(crate) fn open_interim(&self) -> Interim {
        self.state().room_bytes = INTERIM_BYTES_MAX;
        Interim {
            connection: self.clone(),
        }
    }

    /// Sends an interim answer, if there is a request it belongs to.
    pub(crate) fn send_interim(&self, status: StatusCode, headers: &HeaderMap) {
        // 100 is hyper's to send, 101 is not for a proxy.
        if status.as_u16() < 102 {
            return;
        }
        let mut state = self.state();
        let mut head = format!("HTTP/1.1 {} ", status.as_u16()).into_bytes();
        head.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
        head.extend_from_slice(b"\r\n");
        for (name, value) in headers {
            if edgewise_cache::fields::HOP_BY_HOP.contains(&name.as_str()) {
                continue;
            }
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        if state.dirty || head.len() > state.room_bytes {
            return;
        }
        state.room_bytes -= head.len();
        if state.pending.is_empty() {
            let written = state.stream.try_write(&head).unwrap_or(0);
            head.drain(..written);
            // Nothing of it is out: it may as well be dropped.
            if written == 0 {
                return;
            }
        }
        state.pending.extend_from_slice(&head);
    }
}

impl Drop for Interim {
    fn drop(&mut self) {
        self.connection.state().room_bytes = 0;
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().stream).poll_read(context, buffer)
    }
}

impl State {
    /// What came of a write; an error where the client has read nothing for too long.
    fn or_stalled(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        std::task::ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.pending) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.pending.drain(..written);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        std::task::ready!(state.poll_pending(context))?;
        state.dirty = true;
        let written = Pin::new(&mut state.stream).poll_write(context, bytes);
        state.or_stalled(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        std::task::ready!(state.poll_pending(context))?;
        state.dirty = true;
        let written = Pin::new(&mut state.stream).poll_write_vectored(context, slices);
        state.or_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        std::task::ready!(state.poll_pending(context))?;
        state.dirty = false;
        Pin::new(&mut state.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().stream).poll_shutdown(context)
    }
}
