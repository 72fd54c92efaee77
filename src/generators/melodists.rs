//! Those that work on the melody itself, as the arranger asks them: the enhancer and the extender, and what happens where
//! one of them fails. Inference thread.

use super::GeneratorError;
use super::band::guarded;
use super::enhancer::{self, Enhancer, Fixed};
use super::extender::{self, Extender, Extension, KnownChords};
use crate::music::{Note, Song, Ticks};

/// Adds notes to a melody and takes notes away. May allocate, take its time and fail. The outcome depends on what is asked
/// alone.
pub trait EnhancesMelodies: Send {
    /// As shown to the user.
    fn name(&self) -> &str;

    /// The song's melody, enhanced; by start and key.
    ///
    /// # Errors
    /// When the model fails.
    fn enhance(&mut self, song: &Song, fixed: &Fixed, wish: &enhancer::Wish) -> Result<Vec<Note>, GeneratorError>;
}

/// Carries melodies on. May allocate, take its time and fail. The outcome depends on what is asked alone.
pub trait ExtendsMelodies: Send {
    /// As shown to the user.
    fn name(&self) -> &str;

    /// How the song's melody goes on from a tick; what it has from there on is not heard.
    ///
    /// # Errors
    /// When the model fails.
    fn extend(
        &mut self,
        song: &Song,
        from: Ticks,
        chords: KnownChords<'_>,
        wish: &extender::Wish,
    ) -> Result<Extension, GeneratorError>;
}

impl EnhancesMelodies for Enhancer {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn enhance(&mut self, song: &Song, fixed: &Fixed, wish: &enhancer::Wish) -> Result<Vec<Note>, GeneratorError> {
        Self::enhance(self, song, fixed, wish)
    }
}

impl ExtendsMelodies for Extender {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn extend(
        &mut self,
        song: &Song,
        from: Ticks,
        chords: KnownChords<'_>,
        wish: &extender::Wish,
    ) -> Result<Extension, GeneratorError> {
        Self::extend(self, song, from, chords, wish)
    }
}

/// Those there are. Who is missing, or fails, has nothing to say.
#[derive(Default)]
pub struct Melodists {
    pub enhancer: Option<Box<dyn EnhancesMelodies>>,
    pub extender: Option<Box<dyn ExtendsMelodies>>,
    problem: Option<String>,
    failures: u32,
}

impl Melodists {
    /// What went wrong last, in words for the user.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// How often one of them has failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// `None` where there is nobody to do it.
    pub fn enhance(&mut self, song: &Song, fixed: &Fixed, wish: &enhancer::Wish) -> Option<Vec<Note>> {
        let enhancer = self.enhancer.as_mut()?;
        match guarded(|| enhancer.enhance(song, fixed, wish)) {
            Ok(notes) => Some(notes),
            Err(error) => {
                let problem = format!("{} failed, so the melody is not enhanced: {error}", enhancer.name());
                self.fail(problem)
            }
        }
    }

    /// `None` where there is nobody to do it.
    pub fn extend(
        &mut self,
        song: &Song,
        from: Ticks,
        chords: KnownChords<'_>,
        wish: &extender::Wish,
    ) -> Option<Extension> {
        let extender = self.extender.as_mut()?;
        match guarded(|| extender.extend(song, from, chords, wish)) {
            Ok(extension) => Some(extension),
            Err(error) => {
                let problem = format!("{} failed, so the melody is not carried on: {error}", extender.name());
                self.fail(problem)
            }
        }
    }

    fn fail<T>(&mut self, problem: String) -> Option<T> {
        self.problem = Some(problem);
        self.failures = self.failures.wrapping_add(1);
        None
    }
}
