//! What is counted of an item, and what its hot score is made of.

use edgewise_ranking::HotSum;
use edgewise_wire::api::EventType;

use super::Recount;
use crate::store::keys::HOUR_MS;
use crate::store::log::LogEvent;

/// What an item's hot score is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warmth {
    /// (domain time, weight) of everything that was added; below zero where it was taken back.
    pub(crate) added: Vec<(i64, f64)>,
    pub(crate) last_event_ms: i64,
}

impl Recount {
    /// Counts everything but likes and follows; returns whether it is a completed view.
    pub(super) fn count(&mut self, event: &LogEvent) -> bool {
        let Some(item) = event.item else {
            return self.is_completed(event).unwrap_or(false);
        };
        if matches!(event.kind, EventType::Unlike | EventType::Unfollow) {
            return false;
        }
        let completed = self.is_completed(event);
        let facts = self.items.get(&item).and_then(|known| known.item.as_ref());
        let duration = event
            .duration_ms
            .or(facts.and_then(|facts| facts.duration_ms));
        let hour = (event.ts_ms / HOUR_MS) as u32;
        let places = [
            self.counters.entry(item).or_default(),
            self.hourly.entry((item, hour)).or_default(),
        ];
        for counters in places {
            match event.kind {
                EventType::Impression => counters.impressions += 1,
                EventType::View => {
                    counters.views += 1;
                    counters.completed_views += u32::from(completed == Some(true));
                    if let (Some(_), Some(watch), Some(duration)) =
                        (completed, event.watch_ms, duration)
                    {
                        counters.timed_views += 1;
                        counters.watch_ratio_sum += f64::min(1.0, watch as f64 / duration as f64);
                    }
                }
                EventType::Click => counters.clicks += 1,
                EventType::Comment => counters.comments += 1,
                EventType::Share => counters.shares += 1,
                EventType::Hide => counters.hides += 1,
                EventType::Purchase => counters.purchases += 1,
                EventType::Like | EventType::Unlike | EventType::Follow | EventType::Unfollow => {}
            }
        }
        completed.unwrap_or(false)
    }

    /// `None` where the event is no view with a duration.
    fn is_completed(&self, event: &LogEvent) -> Option<bool> {
        let facts = event
            .item
            .and_then(|item| self.items.get(&item)?.item.as_ref());
        let duration = event
            .duration_ms
            .or(facts.and_then(|facts| facts.duration_ms));
        let duration =
            duration.filter(|&duration| duration > 0 && event.kind == EventType::View)?;
        Some(u128::from(event.watch_ms?) * 10 >= u128::from(duration) * 9)
    }

    pub(super) fn warm(&mut self, event: &LogEvent, completed: bool, busy: bool) {
        let (Some(item), Some(config)) = (event.item, self.config) else {
            return;
        };
        let weight = match event.kind {
            EventType::View if completed => config.completed_view,
            EventType::View => config.view,
            EventType::Click => config.click,
            EventType::Comment => config.comment,
            EventType::Share => {
                let made = self.reactions.entry((event.user, item)).or_default();
                let first = !made.shared && made.shares_ms.is_empty();
                if !busy && first {
                    made.shared = true;
                }
                if first { config.share } else { 0.0 }
            }
            _ => return,
        };
        if !busy {
            let warmth = self.warmth.entry(item).or_default();
            warmth.added.push((event.ts_ms, weight));
            warmth.last_event_ms = warmth.last_event_ms.max(event.ts_ms);
        }
    }
}

impl Warmth {
    /// The hot sum by its definition, the sum of w * 2^(-(t - t_i)/h) at the newest t, and the
    /// same of the weights' sizes; `None` where nothing was added.
    pub(crate) fn sum(&self, half_life_minutes: f64) -> Option<(HotSum, f64)> {
        let at_ms = self.added.iter().map(|&(ts_ms, _)| ts_ms).max()?;
        let (mut sum, mut size) = (0.0, 0.0);
        for &(ts_ms, weight) in &self.added {
            let half_lives = (at_ms - ts_ms) as f64 / (half_life_minutes * 60_000.0);
            sum += weight * (-half_lives).exp2();
            size += weight.abs() * (-half_lives).exp2();
        }
        Some((
            HotSum {
                sum: f64::max(sum, 0.0),
                at_ms,
            },
            size,
        ))
    }
}
