//! Bodies that the host holds: numbers here, bytes there.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem;

/// Numbers of bodies that nothing refers to any longer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unused(Rc<RefCell<Vec<u32>>>);

impl Unused {
    /// A body of this number.
    pub(crate) fn body(&self, id: u32) -> Rc<Held> {
        Rc::new(Held {
            id,
            unused: self.clone(),
        })
    }

    /// What the host may let go of since it was asked last.
    pub(crate) fn take(&self) -> Vec<u32> {
        mem::take(&mut *self.0.borrow_mut())
    }
}

/// A body at the host's. Stored answers and requests under way share it; the last one that lets
/// go of it says so.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: u32,
    unused: Unused,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.unused.0.borrow_mut().push(self.id);
    }
}
