//! Cases of a test that run at the same time.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Instant;

/// A part of a test, and its name.
pub type Case<'a> = (&'static str, Box<dyn FnOnce() + Send + 'a>);

/// Runs cases at the same time, a few of them: most of their time is waiting. All are run;
/// those that panic are named.
///
/// # Panics
/// Where one does.
pub fn together(cases: Vec<Case<'_>>) {
    const AT_ONCE: usize = 3;
    let (queue, failed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let run = || {
        loop {
            let next = queue.lock().expect("nobody panics here").pop();
            let Some((name, case)) = next else { return };
            let started = Instant::now();
            let ended = std::panic::catch_unwind(AssertUnwindSafe(case));
            println!("{name}: {:?}", started.elapsed());
            if ended.is_err() {
                failed.lock().expect("nobody panics here").push(name);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(run);
        }
    });
    let failed = failed.into_inner().expect("nobody panics here");
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}
