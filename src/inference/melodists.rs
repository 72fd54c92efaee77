//! INFERENCE THREAD: who works on the melody, loaded when it is first wanted, each on a thread of its own.

use crate::arranger::Arranger;
use crate::channels::{Cut, MelodistStatus};
use crate::generators::library::{self, GeneratorChoice, Opened};
use crate::generators::melodists::{EnhancesMelodies, ExtendsMelodies};
use crate::music::{Melodist, Part};
use crate::settings::Settings;
use std::thread::JoinHandle;

/// The enhancer and the extender as they are wanted and as they are there.
#[derive(Default)]
pub struct LoadedMelodists {
    enhancer: Place<dyn EnhancesMelodies>,
    extender: Place<dyn ExtendsMelodies>,
}

impl LoadedMelodists {
    /// Those that were given are there.
    pub fn take(
        &mut self,
        enhancer: Option<Box<dyn EnhancesMelodies>>,
        extender: Option<Box<dyn ExtendsMelodies>>,
        arranger: &mut Arranger,
    ) {
        if let Some(enhancer) = enhancer {
            self.enhancer.state = State::There(enhancer.name().to_owned());
            arranger.set_enhancer(Some(enhancer));
        }
        if let Some(extender) = extender {
            self.extender.state = State::There(extender.name().to_owned());
            arranger.set_extender(Some(extender));
        }
    }

    /// Another is to work as this one does, by name; `None` is the first there is.
    pub fn choose(&mut self, melodist: Melodist, name: Option<String>, arranger: &mut Arranger) {
        match melodist {
            Melodist::Enhancer if self.enhancer.name == name => {}
            Melodist::Extender if self.extender.name == name => {}
            Melodist::Enhancer => {
                self.enhancer = Place { name, ..Place::default() };
                arranger.set_enhancer(None);
            }
            Melodist::Extender => {
                self.extender = Place { name, ..Place::default() };
                arranger.set_extender(None);
            }
        }
    }

    /// They are to be computed elsewhere: loaded anew when they are next wanted.
    pub fn forget(&mut self, arranger: &mut Arranger) {
        self.enhancer.state = State::default();
        self.extender.state = State::default();
        arranger.set_enhancer(None);
        arranger.set_extender(None);
    }

    /// The cut without the parts for which nobody is there, or not yet: a render waits for who is wanted. What is thus left out
    /// is written when it can be. Also what is wrong, if something is.
    pub fn able(
        &mut self,
        cut: &Cut,
        choice: Option<&GeneratorChoice>,
        arranger: &mut Arranger,
    ) -> (Cut, Option<String>) {
        let (settings, mut cut) = (cut.settings, *cut);
        let wanted = |name: &Option<String>| choice.cloned().unwrap_or_default().named(name.clone());
        let (enhancer, extender) = (wanted(&self.enhancer.name), wanted(&self.extender.name));
        let come = self.enhancer.look_for(Part::Enhanced, &mut cut, move || library::open_enhancer(&enhancer));
        come.into_iter().for_each(|enhancer| arranger.set_enhancer(Some(enhancer)));
        let come = self.extender.look_for(Part::Extension, &mut cut, move || library::open_extender(&extender));
        come.into_iter().for_each(|extender| arranger.set_extender(Some(extender)));
        (cut, self.problem(&settings))
    }

    /// In words for the user, of those who are wanted.
    fn problem(&self, settings: &Settings) -> Option<String> {
        let enhancer = || self.enhancer.problem("the melody is not enhanced");
        let extender = || self.extender.problem("the melody is not carried on");
        let of = |part, problem: &dyn Fn() -> Option<String>| settings.part_is_on(part).then(problem).flatten();
        of(Part::Enhanced, &enhancer).or_else(|| of(Part::Extension, &extender))
    }

    /// As shown to the user: enhancer and extender.
    pub fn status(&self) -> (MelodistStatus, MelodistStatus) {
        (self.enhancer.status(), self.extender.status())
    }
}

struct Place<M: ?Sized> {
    name: Option<String>,
    state: State<M>,
    /// Where it computes, if elsewhere than it was asked to.
    elsewhere: Option<String>,
}

#[derive(Default)]
enum State<M: ?Sized> {
    #[default]
    Unwanted,
    Coming(Option<JoinHandle<Result<Opened<M>, String>>>),
    /// By this name.
    There(String),
    Missing(String),
}

impl<M: ?Sized> Default for Place<M> {
    fn default() -> Self {
        Self { name: None, state: State::default(), elsewhere: None }
    }
}

impl<M: ?Sized + Send + 'static> Place<M> {
    /// Who has just come, if somebody is wanted for this part. The part is off in the cut while nobody is there.
    fn look_for(
        &mut self,
        part: Part,
        cut: &mut Cut,
        load: impl FnOnce() -> Result<Opened<M>, String> + Send + 'static,
    ) -> Option<Box<M>> {
        if !cut.settings.part_is_on(part) {
            return None;
        }
        let come = self.look(cut.offline, load);
        cut.settings.parts[part].on = self.is_there();
        come
    }

    /// Loads it if it has not been wanted before. Who has just come.
    fn look(
        &mut self,
        wait: bool,
        load: impl FnOnce() -> Result<Opened<M>, String> + Send + 'static,
    ) -> Option<Box<M>> {
        if let State::Unwanted = self.state {
            let thread = std::thread::Builder::new().name("obbligato melodist".into()).spawn(load);
            self.state = match thread {
                Ok(thread) => State::Coming(Some(thread)),
                Err(error) => State::Missing(error.to_string()),
            };
        }
        let State::Coming(thread) = &mut self.state else { return None };
        let thread = thread.take_if(|thread| wait || thread.is_finished())?;
        match thread
            .join()
            .unwrap_or_else(|_| Err("It could not be loaded (an error in the program): choose another.".into()))
        {
            Ok(Opened { melodist, name, elsewhere }) => {
                (self.state, self.elsewhere) = (State::There(name), elsewhere);
                Some(melodist)
            }
            Err(problem) => {
                self.state = State::Missing(problem);
                None
            }
        }
    }

    fn is_there(&self) -> bool {
        matches!(self.state, State::There(_))
    }

    /// In words for the user; `so` is what becomes of it where there is nobody.
    fn problem(&self, so: &str) -> Option<String> {
        match &self.state {
            State::Missing(problem) => Some(format!("{problem} Until then {so}.")),
            State::Unwanted | State::Coming(_) | State::There(_) => self.elsewhere.clone(),
        }
    }

    fn status(&self) -> MelodistStatus {
        let (name, problem) = match &self.state {
            State::Unwanted => (String::new(), None),
            State::Coming(_) => ("being loaded…".to_owned(), None),
            State::There(name) => (name.clone(), self.elsewhere.clone()),
            State::Missing(problem) => (String::new(), Some(problem.clone())),
        };
        MelodistStatus { name, problem }
    }
}

/// A plugin must not be unloaded under a thread.
impl<M: ?Sized> Drop for State<M> {
    fn drop(&mut self) {
        if let Self::Coming(thread) = self {
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::GeneratorError;
    use crate::generators::enhancer::{Fixed, Wish};
    use crate::music::{Note, Song};
    use std::time::Duration;

    struct Mirror;

    impl EnhancesMelodies for Mirror {
        fn name(&self) -> &str {
            "Mirror"
        }

        fn enhance(&mut self, song: &Song, _: &Fixed, _: &Wish) -> Result<Vec<Note>, GeneratorError> {
            Ok(song.melody.clone())
        }
    }

    fn mirror() -> Result<Opened<dyn EnhancesMelodies>, String> {
        Ok(Opened { melodist: Box::new(Mirror), name: "Mirror".into(), elsewhere: None })
    }

    #[test]
    fn it_is_loaded_once_it_is_wanted_and_a_render_waits_for_it() {
        let mut place: Place<dyn EnhancesMelodies> = Place::default();
        assert!(!place.is_there() && place.status() == MelodistStatus::default(), "nobody has asked for it");
        let (open, gate) = crossbeam_channel::bounded::<()>(1);
        let slow = move || {
            let _ = gate.recv_timeout(Duration::from_secs(10));
            mirror()
        };
        assert!(place.look(false, slow).is_none() && !place.is_there());
        assert_eq!(place.status().name, "being loaded…");
        open.send(()).expect("the thread listens");
        assert!(place.look(true, mirror).is_some() && place.is_there());
        assert!(place.look(true, || panic!("it is there")).is_none());
        assert_eq!(place.status(), MelodistStatus { name: "Mirror".into(), problem: None });
    }

    #[test]
    fn who_cannot_be_loaded_is_missing_and_that_is_told() {
        for load in [|| Err("there is none".to_owned()), || panic!("a bug")] {
            let mut place: Place<dyn EnhancesMelodies> = Place::default();
            assert!(place.look(true, load).is_none() && !place.is_there());
            assert!(place.status().problem.is_some());
            assert!(place.look(true, mirror).is_none(), "it is not looked for again with every segment");
        }
    }
}
