//! A panic in one request must not take the worker down nor leave the core half changed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use metrics::counter;
use tracing::error;

use crate::telemetry::PANICS_TOTAL;

/// The call did not come back, or the core it was for is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// A core that is made anew where a call into it panics.
pub(crate) struct Guarded<T> {
    inner: T,
    make: Box<dyn Fn() -> T>,
    generation: u32,
}

impl<T> Guarded<T> {
    /// A core of generation 0.
    pub(crate) fn new(make: impl Fn() -> T + 'static) -> Self {
        Self {
            inner: make(),
            make: Box::new(make),
            generation: 0,
        }
    }

    /// Counts up with every new core: handles of an older one mean nothing to it.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Calls into the core of `generation`.
    ///
    /// # Errors
    /// That core is gone, or went with this call.
    pub(crate) fn call<R>(
        &mut self,
        generation: u32,
        work: impl FnOnce(&mut T) -> R,
    ) -> Result<R, Lost> {
        if generation != self.generation {
            return Err(Lost);
        }
        // What the panic left half changed is dropped, so nobody sees it.
        catch_unwind(AssertUnwindSafe(|| work(&mut self.inner))).map_err(|_| {
            counter!(PANICS_TOTAL).increment(1);
            error!("the core panicked: its memory is given up and a new one begins");
            self.generation = self.generation.wrapping_add(1);
            self.inner = (self.make)();
            Lost
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_the_core_and_nothing_else() {
        let mut core = Guarded::new(|| 1_u32);
        assert_eq!(core.call(0, |value| std::mem::replace(value, 5)), Ok(1));
        let lost = core.call(0, |value| {
            *value = 9;
            assert_eq!(*value, 0, "on purpose");
        });
        assert_eq!(lost, Err(Lost));
        assert_eq!(core.call(0, |value| *value), Err(Lost), "of the old core");
        let generation = core.generation();
        assert_eq!(core.call(generation, |value| *value), Ok(1), "a fresh one");
    }
}
