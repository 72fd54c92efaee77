//! Choosing a token from what a model computed. Pure; the same seed chooses the same tokens.

use super::encoding::Token;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random numbers of one answer.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// 0 ≤ share < 1, in steps of 2⁻²⁴, all of which single precision holds.
    pub fn roll(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// 0 < share < 1.
    fn inner_share(&mut self) -> f64 {
        (f64::from(self.0.next_u32()) + 0.5) / (f64::from(u32::MAX) + 1.0)
    }

    /// A number of the logistic distribution: a cell whose logit plus this is above 0 is set as often as the logit says.
    pub fn logistic(&mut self) -> f64 {
        let share = self.inner_share();
        (share / (1.0 - share)).ln()
    }

    /// A number of the Gumbel distribution: of logits with one each, the highest is chosen as often as they say.
    pub fn gumbel(&mut self) -> f64 {
        -(-self.inner_share().ln()).ln()
    }

    /// A number of the standard normal distribution (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.inner_share().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.inner_share()).cos()
    }
}

/// How likely it is that something is so, 0..=1, from its logit.
pub fn chance_of(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// How adventurous a choice is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boldness {
    /// Logits are divided by this; near 0 only the likeliest token is chosen.
    pub temperature: f32,
    /// Only the likeliest tokens that hold this share together can be chosen.
    pub top_p: f32,
}

/// One of the choices (token and logit), by its likelihood. `None` when a logit is not a number, or there is no choice.
pub fn pick(choices: &[(Token, f32)], boldness: Boldness, dice: &mut Dice) -> Option<Token> {
    const COLDEST: f32 = 1e-3;
    let highest = choices.iter().map(|(_, logit)| *logit).fold(f32::NEG_INFINITY, f32::max);
    if !highest.is_finite() || choices.iter().any(|(_, logit)| logit.is_nan()) {
        return None;
    }
    let temperature = boldness.temperature.max(COLDEST);
    let mut chances: Vec<(Token, f32)> =
        choices.iter().map(|(token, logit)| (*token, ((logit - highest) / temperature).exp())).collect();
    chances.sort_by(|a, b| b.1.total_cmp(&a.1));
    let total: f32 = chances.iter().map(|(_, chance)| chance).sum();
    chances.truncate(likeliest(&chances, boldness.top_p * total));
    let kept: f32 = chances.iter().map(|(_, chance)| chance).sum();
    let mut rest = dice.roll() * kept;
    let chosen = chances.iter().find(|(_, chance)| {
        rest -= chance;
        rest < 0.0
    });
    // Rounding may leave a little over: the likeliest takes it.
    chosen.or(chances.first()).map(|(token, _)| *token)
}

/// How many of the sorted chances it takes to hold `share`; at least one.
fn likeliest(chances: &[(Token, f32)], share: f32) -> usize {
    let mut held = 0.0;
    let before = chances.iter().take_while(|(_, chance)| {
        held += chance;
        held < share
    });
    before.count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Boldness = Boldness { temperature: 1.0, top_p: 1.0 };

    /// How often each of four tokens with chances .5 .3 .15 .05 is chosen in ten thousand times.
    fn shares(boldness: Boldness) -> [f32; 4] {
        let choices: Vec<(Token, f32)> = [0.05_f32, 0.5, 0.15, 0.3]
            .iter()
            .enumerate()
            .map(|(token, chance)| (token as Token, chance.ln()))
            .collect();
        let mut dice = Dice::new(7);
        let mut counts = [0.0; 4];
        for _ in 0..10_000 {
            counts[usize::from(pick(&choices, boldness, &mut dice).expect("there are choices"))] += 1e-4;
        }
        [counts[1], counts[3], counts[2], counts[0]]
    }

    #[test]
    fn tokens_are_chosen_as_often_as_they_are_likely() {
        for (boldness, expected) in [
            (PLAIN, [0.5, 0.3, 0.15, 0.05]),
            (Boldness { top_p: 0.79, ..PLAIN }, [0.625, 0.375, 0.0, 0.0]),
            (Boldness { top_p: 0.81, ..PLAIN }, [0.526, 0.316, 0.158, 0.0]),
            (Boldness { temperature: 0.5, ..PLAIN }, [0.685, 0.247, 0.062, 0.007]),
            (Boldness { temperature: 0.0, ..PLAIN }, [1.0, 0.0, 0.0, 0.0]),
        ] {
            let shares = shares(boldness);
            assert!(shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.015), "{boldness:?}: {shares:?}");
        }
    }

    #[test]
    fn random_numbers_have_the_shape_that_their_names_say() {
        const COUNT: usize = 20_000;
        let mut dice = Dice::new(3);
        let mut below = |draw: fn(&mut Dice) -> f64, limit: f64| {
            (0..COUNT).filter(|_| draw(&mut dice) < limit).count() as f64 / COUNT as f64
        };
        for (draw, limit, expected) in [
            (Dice::logistic as fn(&mut Dice) -> f64, 0.0, 0.5),
            (Dice::logistic, 2.0, 0.881),
            (Dice::gumbel, 0.0, 0.368),
            (Dice::gumbel, 2.0, 0.873),
            (Dice::normal, 0.0, 0.5),
            (Dice::normal, -1.0, 0.159),
            (Dice::normal, 2.0, 0.977),
        ] {
            let share = below(draw, limit);
            assert!((share - expected).abs() < 0.01, "below {limit}: {share}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_no_choice() {
        let pick = |choices: &[(Token, f32)]| pick(choices, PLAIN, &mut Dice::new(1));
        assert_eq!(pick(&[]), None);
        assert_eq!(pick(&[(1, 0.0), (2, f32::NAN)]), None);
        assert_eq!(pick(&[(1, f32::INFINITY), (2, 0.0)]), None);
        assert_eq!(pick(&[(1, f32::NEG_INFINITY)]), None);
        assert_eq!(pick(&[(1, f32::NEG_INFINITY), (2, -80.0)]), Some(2));
    }
}
