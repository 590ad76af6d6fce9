//! All-time counters of an item.

/// All-time totals of an item, net of undo, never below 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Impressions that clients reported.
    pub impressions: u32,
    /// Views, with or without a duration.
    pub views: u32,
    /// Views with a duration above zero.
    pub timed_views: u32,
    /// Timed views that reached 0.9 of the duration.
    pub completed_views: u32,
    /// Sum over timed views of min(1, watch/duration).
    pub watch_ratio_sum: f64,
    /// Clicks.
    pub clicks: u32,
    /// Likes, net of unlikes.
    pub likes: u32,
    /// Comments.
    pub comments: u32,
    /// Shares.
    pub shares: u32,
    /// Follows that named the item, net of unfollows.
    pub follows: u32,
    /// Hides.
    pub hides: u32,
    /// Purchases.
    pub purchases: u32,
}
