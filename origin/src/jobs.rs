//! Background jobs: named threads with an owner and a stop.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::origin::Origin;
use crate::telemetry;

/// The overlay is looked at this often.
const OVERLAY_EVERY: Duration = Duration::from_secs(1);
/// Hot lists are made this often.
const HOT_EVERY: Duration = Duration::from_secs(60);
/// Similar items and suggested users are made this often.
const NEIGHBOURS_EVERY: Duration = Duration::from_secs(300);
/// Bundles are warmed this often.
const WARM_EVERY: Duration = Duration::from_secs(120);

/// Running jobs; stopping waits for what is under way.
#[derive(Default)]
pub struct Jobs {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

/// Wakes sleeping jobs when they have to stop.
#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn is_set(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Sleeps; true where the jobs have to stop.
    fn sleep(&self, time: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = self
            .changed
            .wait_timeout_while(stopped, time, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped
    }
}

impl Jobs {
    /// Starts every job of `origin`, which has made its lists when it was loaded.
    ///
    /// # Errors
    ///
    /// The system starts no more threads.
    pub fn start(origin: &Arc<Origin>) -> std::io::Result<Self> {
        let mut jobs = Self::default();
        let own = Arc::clone(origin);
        jobs.spawn("overlay", OVERLAY_EVERY, OVERLAY_EVERY, move |_| {
            let wall_ms = own.clock.wall_ms();
            telemetry::job("overlay", wall_ms, || -> Result<(), String> {
                own.overlay.refresh();
                Ok(())
            });
        })?;
        let own = Arc::clone(origin);
        jobs.spawn("hot-lists", HOT_EVERY, HOT_EVERY, move |_| {
            let wall_ms = own.clock.wall_ms();
            telemetry::job("hot_lists", wall_ms, || -> Result<(), String> {
                own.make_hot_lists();
                Ok(())
            });
            telemetry::metrics_handle().run_upkeep();
        })?;
        let own = Arc::clone(origin);
        jobs.spawn(
            "neighbours",
            NEIGHBOURS_EVERY,
            NEIGHBOURS_EVERY,
            move |_| {
                telemetry::job("neighbours", own.clock.wall_ms(), || own.make_neighbours());
            },
        )?;
        let own = Arc::clone(origin);
        jobs.spawn("warm", Duration::ZERO, WARM_EVERY, move |stop| {
            let stop = || stop.is_set();
            telemetry::job("warm", own.clock.wall_ms(), || own.warm_bundles(&stop));
        })?;
        Ok(jobs)
    }

    /// Stops the jobs and waits for them.
    pub fn stop(self) {
        self.stop.set();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a background job panicked");
            }
        }
    }

    /// Runs `work` after `first` and then every `every`.
    fn spawn(
        &mut self,
        name: &str,
        first: Duration,
        every: Duration,
        work: impl Fn(&Stop) + Send + 'static,
    ) -> std::io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new()
            .name(format!("edgewise-{name}"))
            .spawn(move || {
                let mut pause = first;
                while !stop.sleep(pause) {
                    work(&stop);
                    pause = every;
                }
            })?;
        self.threads.push(thread);
        Ok(())
    }
}
