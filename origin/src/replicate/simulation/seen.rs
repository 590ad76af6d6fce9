//! What happened in schedules: a run in which nothing goes wrong shows nothing.

/// How often what happened, to see that a run is not empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) commits: u64,
    pub(super) conflicts: u64,
    pub(super) failed_commits: u64,
    pub(super) lost_replies: u64,
    pub(super) kills: u64,
    pub(super) disconnects: u64,
    pub(super) late_commits: u64,
    pub(super) skipped: u64,
    pub(super) full: u64,
    pub(super) resumed_inside: u64,
    pub(super) resumed_copies: u64,
    pub(super) clears_in_steps: u64,
    pub(super) second_consumers: u64,
    pub(super) lost_acknowledgements: u64,
    pub(super) dead: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        let ours = self.fields();
        for (ours, theirs) in ours.into_iter().zip(other.clone().fields()) {
            *ours += *theirs;
        }
    }

    pub(super) fn fields(&mut self) -> [&mut u64; 15] {
        [
            &mut self.commits,
            &mut self.conflicts,
            &mut self.failed_commits,
            &mut self.lost_replies,
            &mut self.kills,
            &mut self.disconnects,
            &mut self.late_commits,
            &mut self.skipped,
            &mut self.full,
            &mut self.resumed_inside,
            &mut self.resumed_copies,
            &mut self.clears_in_steps,
            &mut self.second_consumers,
            &mut self.lost_acknowledgements,
            &mut self.dead,
        ]
    }
}
