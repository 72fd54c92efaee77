//! Instances in one process that make music together: a band on one track, its parts and its chords on others.
//!
//! A *band* instance hears a melody and writes the answer; a *part* instance plays one part of it on its own track; a *chord
//! track* gives it the chords. They find each other by the band's number. Nothing here is for the audio thread but [`SharedLink::get`], which reads an atomic.

mod shown;

pub use shown::{Answers, ShownAnswer, TakesOver};

use crate::channels::{Cut, Heard, Meters, Reply, SharedView, SongView, TakeId};
use crate::music::{Part, PerPart, Segment};
use crate::settings::{ChordInput, Settings};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// Hears a melody and answers it.
    #[default]
    Band,
    /// Plays this part of a band that another instance writes.
    Part(Part),
    /// What it gets are the chords of a band that another instance writes.
    ChordTrack,
}

impl Role {
    /// In the order in which they are offered.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Band].into_iter().chain(Part::ALL.map(Self::Part)).chain([Self::ChordTrack])
    }

    /// As shown to the user.
    pub fn name(self) -> &'static str {
        match self {
            Self::Band => "Band",
            Self::Part(part) => part.name(),
            Self::ChordTrack => "Chord track",
        }
    }

    /// Stable, lower case: saved songs refer to it.
    pub fn id(self) -> &'static str {
        match self {
            Self::Band => "band",
            Self::Part(part) => part.id(),
            Self::ChordTrack => "chord-track",
        }
    }
}

/// By what number the instances of one band know each other: [`BandNumber::RANGE`], as musicians count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BandNumber(u8);

impl BandNumber {
    pub const RANGE: RangeInclusive<u8> = 1..=16;

    pub fn clamped(number: u8) -> Self {
        Self(number.clamp(*Self::RANGE.start(), *Self::RANGE.end()))
    }

    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for BandNumber {
    fn default() -> Self {
        Self(*Self::RANGE.start())
    }
}

impl fmt::Display for BandNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "band {}", self.0)
    }
}

/// An instance's role, and the band that it is or belongs to. As text: `band 1`, `bass 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Link {
    pub role: Role,
    pub band: BandNumber,
}

impl Link {
    /// The settings of an instance with this link. Who plays one part plays no other, and whether it is switched on is the
    /// band's affair. To a chord track all keys are chords, but for the highest there is.
    #[must_use]
    pub fn applied(&self, mut settings: Settings) -> Settings {
        match self.role {
            Role::Band => {}
            Role::Part(own) => Part::ALL.into_iter().for_each(|part| settings.parts[part].on = part == own),
            Role::ChordTrack => {
                Part::ALL.into_iter().for_each(|part| settings.parts[part].on = false);
                (settings.chord_input, settings.split_key) = (ChordInput::Split, *Settings::SPLIT_KEY.end());
            }
        }
        settings
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role.id(), self.band.0)
    }
}

/// A text that is no [`Link`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no link: write a role and a number from 1 to 16, as in `bass 1`")]
pub struct LinkTextError;

impl FromStr for Link {
    type Err = LinkTextError;

    fn from_str(text: &str) -> Result<Self, LinkTextError> {
        let (role, number) = text.trim().split_once(' ').ok_or(LinkTextError)?;
        let role = Role::all().find(|known| known.id() == role).ok_or(LinkTextError)?;
        let number = number.parse().ok().filter(|number| BandNumber::RANGE.contains(number)).ok_or(LinkTextError)?;
        Ok(Self { role, band: BandNumber(number) })
    }
}

/// One instance's link, set by its user and read on all its threads.
#[derive(Debug, Clone)]
pub struct SharedLink(Arc<AtomicU16>);

impl SharedLink {
    pub fn new(link: Link) -> Self {
        Self(Arc::new(AtomicU16::new(packed(link))))
    }

    pub fn get(&self) -> Link {
        let [role, number] = self.0.load(Ordering::Relaxed).to_be_bytes();
        let role = Role::all().find(|known| code(*known) == role).unwrap_or_default();
        Link { role, band: BandNumber::clamped(number) }
    }

    pub fn set(&self, link: Link) {
        self.0.store(packed(link), Ordering::Relaxed);
    }
}

impl Default for SharedLink {
    fn default() -> Self {
        Self::new(Link::default())
    }
}

fn packed(link: Link) -> u16 {
    u16::from_be_bytes([code(link.role), link.band.0])
}

fn code(role: Role) -> u8 {
    match role {
        Role::Band => 0,
        Role::Part(part) => 1 + part.index() as u8,
        Role::ChordTrack => u8::MAX,
    }
}

/// An instance's place among the others: its link, and where it finds those it is linked with.
#[derive(Debug, Clone, Default)]
pub struct Seat {
    pub link: SharedLink,
    pub links: Links,
}

/// The instances that may find each other. Clones are the same list; a new one is empty.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    /// In the order in which they came.
    bands: Vec<Arc<Band>>,
    /// One for each instance that belongs to a band without being one.
    members: Vec<Link>,
}

impl Links {
    /// The one that all plugin instances of this process share.
    pub fn of_process() -> Self {
        static LINKS: OnceLock<Links> = OnceLock::new();
        LINKS.get_or_init(Self::default).clone()
    }

    /// Enters a band, until the entry is dropped. The first of a number leads: its parts follow it alone.
    pub fn enter_band(&self, number: BandNumber, view: SharedView, meters: Arc<Meters>) -> BandEntry {
        let band = Arc::new(Band { number, view, meters, answers: Mutex::default(), chords: Mutex::default() });
        self.lock().bands.push(band.clone());
        BandEntry { links: self.clone(), band }
    }

    /// Enters an instance that belongs to a band, until the entry is dropped. Its band may come later.
    pub fn enter_member(&self, link: Link) -> MemberEntry {
        self.lock().members.push(link);
        MemberEntry { links: self.clone(), link }
    }

    /// The band that leads under this number.
    pub fn band(&self, number: BandNumber) -> Option<Arc<Band>> {
        self.lock().leader(number).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn leader(&self, number: BandNumber) -> Option<&Arc<Band>> {
        self.bands.iter().find(|band| band.number == number)
    }

    fn leads(&self, band: &Arc<Band>) -> bool {
        self.leader(band.number).is_some_and(|leader| Arc::ptr_eq(leader, band))
    }

    fn has_member(&self, band: &Arc<Band>, role: Role) -> bool {
        self.leads(band) && self.members.contains(&Link { role, band: band.number })
    }
}

/// A band in the list.
#[derive(Debug)]
pub struct BandEntry {
    links: Links,
    band: Arc<Band>,
}

impl BandEntry {
    pub fn band(&self) -> &Band {
        &self.band
    }

    /// The parts that other instances play for this band.
    pub fn played_elsewhere(&self) -> PerPart<bool> {
        let registry = self.links.lock();
        PerPart::from_fn(|part| registry.has_member(&self.band, Role::Part(part)))
    }

    /// Whether another instance gives this band its chords.
    pub fn has_chord_track(&self) -> bool {
        self.links.lock().has_member(&self.band, Role::ChordTrack)
    }

    /// Whether there are instances of its number, which follow another band.
    pub fn is_passed_over(&self) -> bool {
        let registry = self.links.lock();
        !registry.leads(&self.band) && registry.members.iter().any(|member| member.band == self.band.number)
    }
}

impl Drop for BandEntry {
    fn drop(&mut self) {
        self.links.lock().bands.retain(|band| !Arc::ptr_eq(band, &self.band));
    }
}

/// An instance in the list that belongs to a band.
#[derive(Debug)]
pub struct MemberEntry {
    links: Links,
    link: Link,
}

impl MemberEntry {
    pub fn link(&self) -> Link {
        self.link
    }
}

impl Drop for MemberEntry {
    fn drop(&mut self) {
        let members = &mut self.links.lock().members;
        if let Some(place) = members.iter().position(|member| *member == self.link) {
            members.swap_remove(place);
        }
    }
}

/// What a band shows to the instances that play its parts. Locked by inference threads only, never for long.
#[derive(Debug)]
pub struct Band {
    number: BandNumber,
    view: SharedView,
    meters: Arc<Meters>,
    answers: Mutex<Answers>,
    /// From its chord tracks, in their order.
    chords: Mutex<Vec<Heard>>,
}

impl Band {
    /// More keys than a hand strikes in minutes: so many wait for a band that does not take them.
    const MOST_CHORDS: usize = 4096;

    /// Gives the band what a chord track has heard.
    pub fn give_chords(&self, heard: &[Heard]) {
        let mut chords = self.chords.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Self::MOST_CHORDS.saturating_sub(chords.len());
        chords.extend(heard.iter().take(room));
    }

    /// What its chord tracks have heard since the last time.
    pub fn take_chords(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.chords.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn number(&self) -> BandNumber {
        self.number
    }

    /// The band's song and engine as they are now.
    pub fn view(&self) -> Arc<SongView> {
        self.view.get()
    }

    /// Its user has silenced it, and all its parts.
    pub fn is_bypassed(&self) -> bool {
        self.meters.bypassed.load(Ordering::Relaxed)
    }

    /// Whether the band's audio thread has asked for what begins here, and nothing has been shown of it yet.
    pub fn is_to_show(&self, segment: &Segment, over: &TakesOver) -> bool {
        let asked = self.meters.asked().filter(|(take, _)| over.take.is_none_or(|over| take.is_after(over)));
        asked.is_some_and(|(take, start)| {
            start == segment.start() && !self.read(|answers| answers.were_asked(take, start))
        })
    }

    /// Shows that a take of the band has begun, or (`None`) ended.
    pub fn show_take(&self, take: Option<TakeId>) {
        self.lock().set_take(take);
    }

    /// Shows that a segment is being answered.
    pub fn show_cut(&self, cut: &Cut) {
        self.lock().asked(cut);
    }

    /// Shows what the band's own audio thread is sent for a segment.
    pub fn show(&self, segment: Segment, reply: &Reply) {
        self.lock().show(segment, reply);
    }

    /// Reads what has been shown.
    pub fn read<T>(&self, read: impl FnOnce(&Answers) -> T) -> T {
        read(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u8) -> BandNumber {
        BandNumber::clamped(number)
    }

    fn enter(links: &Links, of: u8) -> BandEntry {
        links.enter_band(number(of), SharedView::default(), Arc::default())
    }

    #[test]
    fn links_are_read_as_they_are_written_and_carried_as_they_are_set() {
        let shared = SharedLink::default();
        assert_eq!(shared.get(), Link::default());
        for role in Role::all() {
            for band in BandNumber::RANGE.map(BandNumber) {
                let link = Link { role, band };
                assert_eq!(link.to_string().parse(), Ok(link));
                shared.set(link);
                assert_eq!(shared.clone().get(), link);
            }
        }
        assert_eq!(Link::default().to_string(), "band 1");
        for rubbish in ["", "band", "band 0", "band 17", "tuba 1", "bass one", "bass -1"] {
            assert_eq!(rubbish.parse::<Link>(), Err(LinkTextError), "{rubbish}");
        }
    }

    #[test]
    fn a_band_is_found_by_its_number_while_it_is_there() {
        let links = Links::default();
        assert!(links.band(number(1)).is_none());
        let [first, other] = [enter(&links, 1), enter(&links, 2)];
        let found =
            |of: u8, entry: &BandEntry| links.band(number(of)).is_some_and(|band| Arc::ptr_eq(&band, &entry.band));
        assert!(found(1, &first) && found(2, &other));
        drop(first);
        assert!(links.band(number(1)).is_none() && found(2, &other));
    }

    #[test]
    fn a_part_is_played_elsewhere_while_an_instance_plays_it() {
        let links = Links::default();
        let member = |role| links.enter_member(Link { role, band: number(1) });
        let early = member(Role::Part(Part::Bass));
        let [band, other] = [enter(&links, 1), enter(&links, 2)];
        let bass = PerPart::from_fn(|part| part == Part::Bass);
        assert_eq!(band.played_elsewhere(), bass, "the part came before its band");
        assert_eq!(other.played_elsewhere(), PerPart::default());
        let twice = member(Role::Part(Part::Bass));
        drop(early);
        assert_eq!(band.played_elsewhere(), bass, "another instance plays it still");
        drop(twice);
        assert_eq!(band.played_elsewhere(), PerPart::default());
        assert!(!band.has_chord_track());
        let _track = member(Role::ChordTrack);
        assert!(band.has_chord_track() && !other.has_chord_track());
    }

    #[test]
    fn of_two_bands_of_one_number_the_first_leads_until_it_goes() {
        let links = Links::default();
        let [first, second] = [enter(&links, 3), enter(&links, 3)];
        assert!(!second.is_passed_over(), "nobody follows, so nobody is missed");
        let _drums = links.enter_member(Link { role: Role::Part(Part::Drums), band: number(3) });
        assert!(first.played_elsewhere()[Part::Drums] && !first.is_passed_over());
        assert!(!second.played_elsewhere()[Part::Drums] && second.is_passed_over());
        drop(first);
        assert!(second.played_elsewhere()[Part::Drums] && !second.is_passed_over());
    }
}
