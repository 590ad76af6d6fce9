//! A seed's draws: SplitMix64, so that a seed means the same schedule on every machine.

pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x5EED_0F5C_4ED0_1E00))
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        // The bias of a modulus over so few outcomes does not matter here.
        (mix(self.0) % end.max(1) as u64) as usize
    }

    pub(super) fn one_in(&mut self, outcomes: usize) -> bool {
        self.below(outcomes) == 0
    }
}

pub(super) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
