//! How far what one device says is from what another says: rounding, or a device that computes something else. Runs at a shell and in
//! tests.

use super::{Model, ModelError, Run};
use crate::contract::{AT_ONCE, Engine};

impl<E: Engine> Model<E> {
    /// The largest difference between what both say after the same tokens, which are read in pieces and one by one.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn furthest_from(&self, other: &Self) -> Result<f32, ModelError> {
        /// Every engine has more tokens than this.
        const VOCABULARY: usize = 300;
        const RUNS: [(Run, usize); 4] = [(Run::Piece, AT_ONCE), (Run::One, 1), (Run::One, 1), (Run::Piece, 6)];
        let (mut own, mut others) = (self.memory()?, other.memory()?);
        let (mut past, mut furthest) = (0, 0.0_f32);
        for (run, count) in RUNS {
            let tokens: Vec<u16> = (past..past + count).map(|at| (2 + at * 13 % VOCABULARY) as u16).collect();
            let conditions = vec![0.3; count * E::CONDITIONS];
            let said = self.read_plain(&mut own, run, past, &tokens, &conditions)?;
            let expected = other.read_plain(&mut others, run, past, &tokens, &conditions)?;
            let differences = said.iter().zip(expected).map(|(said, expected)| (said - expected).abs());
            // What is no number is as far as can be.
            furthest = differences.fold(furthest, |most, apart| if apart <= most { most } else { apart });
            past += count;
        }
        Ok(furthest)
    }
}
