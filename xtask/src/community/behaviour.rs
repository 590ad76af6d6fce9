//! What a person does with what they are shown; history and live traffic behave alike.

use super::rng::Rng;

/// What somebody did with one post.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reaction {
    /// Share of the duration that was watched, None where they scrolled past; may exceed 1.
    pub(crate) watched: Option<f64>,
    pub(crate) click: bool,
    pub(crate) like: bool,
    pub(crate) comment: bool,
    pub(crate) share: bool,
    pub(crate) follow: bool,
    pub(crate) hide: bool,
}

/// Draws a reaction from interest and quality, both 0 to 1.
///
/// The rates are those of a lively site, not of a real one: likes are common enough that a
/// newcomer's feed turns personal after a page or two.
pub(crate) fn react(interest: f64, quality: f64, rng: &mut Rng) -> Reaction {
    let drive = (interest * (0.55 + 0.7 * quality)).clamp(0.0, 1.1);
    let strong = drive * drive;
    if rng.chance(0.035 * (1.0 - drive).max(0.0).powi(3)) {
        return Reaction {
            hide: true,
            ..Reaction::default()
        };
    }
    if !rng.chance(0.25 + 0.65 * drive) {
        return Reaction::default();
    }
    let watched = (0.12 + 0.8 * drive + 0.22 * rng.normal()).clamp(0.02, 1.3);
    Reaction {
        watched: Some(watched),
        click: rng.chance(0.03 + 0.22 * drive),
        like: rng.chance(0.34 * strong),
        comment: rng.chance(0.06 * strong),
        share: rng.chance(0.04 * strong),
        follow: rng.chance(0.03 * strong),
        hide: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_decides() {
        let mut rng = Rng::new(4);
        let mut count = |interest: f64| {
            let all: Vec<_> = (0..5000).map(|_| react(interest, 0.5, &mut rng)).collect();
            let likes = all.iter().filter(|reaction| reaction.like).count();
            let hides = all.iter().filter(|reaction| reaction.hide).count();
            (likes, hides)
        };
        let (cold, warm) = (count(0.05), count(0.95));
        assert!(warm.0 > 40 * cold.0.max(1), "{warm:?} {cold:?}");
        assert!(cold.1 > 10 * warm.1.max(1), "{warm:?} {cold:?}");
    }
}
