//! What comes of the melody, over several passes: the enhanced part and the extension, and a band that plays to them.

use super::tests::{TUNE, arranged, bar, idle, of_part, play, play_bars, settings, song};
use super::*;
use crate::contract::extender::tests::contract as extender_contract;
use crate::contract::rolls::tests::enhancer as enhancer_contract;
use crate::generators::enhancer::{Enhancer, Fixed, Wish};
use crate::generators::extender::{self, Extender, Extension, KnownChords};
use crate::generators::rolls::{KEYS, RollNetwork};
use crate::generators::rules::RuleGenerator;
use crate::generators::transformer::tests::Hashing;
use crate::generators::watched::Watched;
use crate::generators::{GeneratorError, Request};
use crate::ledger::saved::{from_text, to_text};
use crate::music::{Key, Part, Song, Velocity};
use crate::settings::{EnhanceSettings, ExtendSettings, ExtendWhen};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Finds much missing and much too many, as the place and the notes around it have it.
struct Wild(Vec<f32>);

impl RollNetwork for Wild {
    fn cells(&mut self, ticks: Ticks, inputs: &[(&'static str, Vec<f32>)]) -> Result<&[f32], String> {
        let heard: f32 =
            inputs.iter().flat_map(|(_, numbers)| numbers).enumerate().map(|(i, x)| x * (i % 97) as f32).sum();
        let logit = |cell: usize| {
            let mixed = (cell as u64 ^ u64::from(heard.to_bits())).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            (mixed as f32 / (1 << 24) as f32 - 0.9) * 8.0
        };
        self.0 = (0..3 * ticks as usize * KEYS).map(logit).collect();
        Ok(&self.0)
    }
}

fn wild() -> Box<Enhancer> {
    Box::new(Enhancer::new(enhancer_contract(), Box::new(Wild(Vec::new()))))
}

/// Goes on with a note a beat, of which the seed and all that was heard decide.
struct Echo;

impl ExtendsMelodies for Echo {
    fn name(&self) -> &str {
        "Echo"
    }

    fn extend(
        &mut self,
        song: &Song,
        from: Ticks,
        _: KnownChords<'_>,
        wish: &extender::Wish,
    ) -> Result<Extension, GeneratorError> {
        let heard = song.melody.iter().filter(|note| note.start < from);
        let heard: i32 = heard.map(|note| i32::from(note.key.number()) + (from - note.start)).sum();
        let note = |start: Ticks| {
            let key = Key::folded(60 + (heard + start * 7 + wish.seed as i32 % 1000).rem_euclid(24));
            Note { start, key, duration: 10, velocity: Velocity::default() }
        };
        let (first, end) = ((from + 11) / 12 * 12, (from / 48 + wish.bars as i32) * 48);
        let notes = (first..end).step_by(12).map(note).collect();
        Ok(Extension { notes, ..Extension::default() })
    }
}

fn real_extender() -> Box<Extender> {
    Box::new(Extender::new(
        extender_contract(),
        Box::new(Hashing::new(|token, logit| if token < 16 { logit + 3.0 } else { logit })),
    ))
}

/// The melody that was shown, with where what was asked for begins.
type Shown = Arc<Mutex<Vec<(Ticks, Vec<Note>)>>>;

fn listening_band() -> (Arranger, Shown) {
    let heard = Shown::default();
    let shown = heard.clone();
    let listener = Watched(move |request: &Request<'_>| {
        let strangers = request.past.iter().flat_map(|answer| &answer.notes).chain(request.standing);
        assert!(strangers.into_iter().all(|note| note.part.is_of_band()), "the melody's parts are melody to the band");
        assert!(Part::ALL.iter().all(|part| part.is_of_band() || !request.parts[*part]));
        shown.lock().expect("nobody panics").push((request.ask.start(), request.melody.to_vec()));
    });
    let mut arranger = Arranger::new(Box::new(listener), None);
    arranger.set_enhancer(Some(wild()));
    arranger.set_extender(Some(Box::new(Echo)));
    (arranger, heard)
}

fn full_band() -> Arranger {
    listening_band().0
}

fn with(parts: &[Part], settings: Settings) -> Settings {
    let mut settings = settings;
    for part in [Part::Enhanced, Part::Extension] {
        settings.parts[part].on = parts.contains(&part);
    }
    settings
}

fn enhancing(enhance: EnhanceSettings, settings: Settings) -> Settings {
    Settings { enhance, ..with(&[Part::Enhanced], settings) }
}

fn extending(extend: ExtendSettings, settings: Settings) -> Settings {
    Settings { extend, ..with(&[Part::Extension], settings) }
}

/// The notes of a part that begin in a bar, as places moved back by so many ticks.
fn places(answers: &[SegmentAnswer], part: Part, index: i32, back: Ticks) -> BTreeSet<(Ticks, Key)> {
    let notes = of_part(answers, part).into_iter().map(|note| (note.note.start - back, note.note.key));
    notes.filter(|(start, _)| (bar(index).start..bar(index).end()).contains(start)).collect()
}

fn melody_places(song: &Song, index: i32) -> BTreeSet<(Ticks, Key)> {
    let notes = song.melody.iter().map(|note| (note.start, note.key));
    notes.filter(|(start, _)| (bar(index).start..bar(index).end()).contains(start)).collect()
}

/// A pass in a jam; or two passes, of which the second is arranged, and its answers.
fn perform(arranger: &mut Arranger, song: &Song, settings: &Settings) -> Vec<SegmentAnswer> {
    let pass = |arranger: &mut Arranger| play_bars(arranger, song, |_| *settings, 0..=7, true);
    let first = pass(arranger);
    if settings.follow == Follow::Arrange { pass(arranger) } else { first }
}

#[test]
fn the_melody_is_enhanced_in_its_place_in_an_arrangement_and_a_bar_later_in_a_jam() {
    for (usual, late) in [(arranged(), 0), (settings(), 48)] {
        let plain = enhancing(EnhanceSettings { passes: 0, ..EnhanceSettings::default() }, usual);
        let answers = perform(&mut full_band(), &song(TUNE), &plain);
        let wanted = EnhanceSettings { risk: 1.0, add: 8, remove: 0.5, ..EnhanceSettings::default() };
        let enhanced = perform(&mut full_band(), &song(TUNE), &enhancing(wanted, usual));
        let bars = 7 - late / 48;
        for index in 0..=bars {
            let before = melody_places(&song(TUNE), index);
            assert_eq!(places(&answers, Part::Enhanced, index, late), before, "no pass changes nothing");
        }
        let changed = (0..=bars)
            .filter(|index| places(&enhanced, Part::Enhanced, *index, late) != melody_places(&song(TUNE), *index));
        assert!(changed.count() > 5, "and eight do something");
        let of_first = of_part(&answers, Part::Enhanced).into_iter().filter(|note| note.note.start < 48).count();
        assert_eq!(of_first == 0, late > 0, "in a jam nothing is known before the first bar is over");
    }
}

#[test]
fn the_band_plays_to_the_enhanced_melody_if_it_is_fed_with_it() {
    let wanted = EnhanceSettings { risk: 1.0, add: 8, remove: 0.5, ..EnhanceSettings::default() };
    for usual in [arranged(), settings()] {
        for feeds in [false, true] {
            let (mut arranger, heard) = listening_band();
            let settings = enhancing(EnhanceSettings { feeds, ..wanted }, usual);
            let answers = perform(&mut arranger, &song(TUNE), &settings);
            let heard = heard.lock().expect("nobody panics");
            let (_, melody) = heard.last().expect("it has played");
            let late = if usual.follow == Follow::Arrange { 0 } else { 48 };
            // Of bars that are over for a whole bar all is known.
            for index in 0..=5 {
                let in_bar = |note: &&Note| (bar(index).start..bar(index).end()).contains(&note.start);
                let shown: BTreeSet<_> = melody.iter().filter(in_bar).map(|note| (note.start, note.key)).collect();
                let expected = match feeds {
                    true => places(&answers, Part::Enhanced, index, late),
                    false => melody_places(&song(TUNE), index),
                };
                assert_eq!(shown, expected, "bar {index}, {feeds} {:?}", usual.follow);
            }
        }
    }
}

/// Four bars of a tune, and silence after it.
fn stops_after_four_bars() -> Song {
    song("cdef gage fedc bCb. .... .... .... ....")
}

#[test]
fn who_stops_is_carried_on_with_the_band_under_it() {
    for usual in [settings(), arranged()] {
        let (mut arranger, heard) = listening_band();
        let settings = extending(ExtendSettings { bars: 2, ..ExtendSettings::default() }, usual);
        let answers = perform(&mut arranger, &stops_after_four_bars(), &settings);
        let extension = of_part(&answers, Part::Extension);
        let starts = extension.iter().map(|note| note.note.start);
        // The last strike is on the third beat of the fourth bar: after a bar without one the fifth is half over.
        assert!(starts.clone().all(|start| (216..288).contains(&start)), "{extension:?}");
        assert!(extension.len() > 2 && starts.clone().any(|start| start < 240), "{extension:?}");
        let heard = heard.lock().expect("nobody panics");
        let (_, shown) = heard.last().expect("it has played");
        for note in &extension {
            let place = (note.note.start, note.note.key);
            assert!(shown.iter().any(|heard| (heard.start, heard.key) == place), "the band has heard {place:?}");
        }
        let bass = of_part(&answers, Part::Bass).into_iter().filter(|note| (216..288).contains(&note.note.start));
        assert!(bass.count() > 2, "the band goes on under it");
    }
}

#[test]
fn a_call_is_answered_and_the_player_has_the_word_again_on_coming_in() {
    let when = ExtendWhen::CallAndResponse;
    let settings = extending(ExtendSettings { when, bars: 1, ..ExtendSettings::default() }, settings());
    let answers = perform(&mut full_band(), &song("cdef .... gage .... .... .... fedc .cde"), &settings);
    let answered: BTreeSet<i32> =
        of_part(&answers, Part::Extension).iter().map(|note| note.note.start.div_euclid(24)).collect();
    let halves: BTreeSet<i32> = [2, 3, 6, 7, 14].into();
    assert_eq!(answered, halves, "half bars");
}

#[test]
fn from_a_chosen_bar_on_the_melody_is_carried_on() {
    let extend = ExtendSettings { when: ExtendWhen::FromBar, from: 3, bars: 3, ..ExtendSettings::default() };
    for usual in [settings(), arranged()] {
        let answers =
            perform(&mut full_band(), &song("cdef gage .... .... .... .... .... ...."), &extending(extend, usual));
        let bars: BTreeSet<i32> =
            of_part(&answers, Part::Extension).iter().map(|note| note.note.start.div_euclid(48)).collect();
        assert_eq!(bars, [2, 3, 4].into(), "{:?}", usual.follow);
    }
}

#[test]
fn an_arrangement_ends_the_extension_where_the_player_comes_in() {
    let settings = extending(ExtendSettings { bars: 8, ..ExtendSettings::default() }, arranged());
    let returns = song("cdef gage fedc b... .... .... .gfe dcde");
    let answers = perform(&mut full_band(), &returns, &settings);
    let extension = of_part(&answers, Part::Extension);
    assert!(extension.iter().any(|note| note.note.start < 288), "{extension:?}");
    assert!(
        extension.iter().all(|note| note.note.end() <= 300),
        "the player comes in on the second beat: {extension:?}"
    );
}

#[test]
fn a_jam_keeps_of_the_extension_what_sounded() {
    let mut arranger = full_band();
    let settings = extending(ExtendSettings { bars: 8, ..ExtendSettings::default() }, settings());
    let returns = song("cdef gage fedc b... .... .... .gfe dcde");
    let first = perform(&mut arranger, &returns, &settings);
    assert!(of_part(&first, Part::Extension).iter().any(|note| note.note.end() > 300), "nobody could know");
    let again = perform(&mut arranger, &returns, &settings);
    let extension = of_part(&again, Part::Extension);
    assert!(extension.iter().any(|note| note.note.end() == 298) && extension.iter().all(|note| note.note.end() <= 300));
    assert_eq!(of_part(&again, Part::Bass), of_part(&first, Part::Bass));
}

#[test]
fn the_same_seed_gives_the_same_notes_and_a_saved_song_plays_them_without_the_models() {
    for usual in [settings(), arranged()] {
        let both = with(&[Part::Enhanced, Part::Extension], usual);
        let play_once = |settings: &Settings| perform(&mut full_band(), &stops_after_four_bars(), settings);
        let mut arranger = full_band();
        let heard = perform(&mut arranger, &stops_after_four_bars(), &both);
        assert!([Part::Enhanced, Part::Extension].iter().all(|part| of_part(&heard, *part).len() > 3));
        assert!(play_once(&both) == heard);
        let other = play_once(&Settings { seed: 2, ..both });
        assert_ne!(of_part(&other, Part::Extension), of_part(&heard, Part::Extension));
        let saved = to_text(arranger.ledger());
        let mut later = Arranger::new(Box::new(RuleGenerator), None);
        later.restore(from_text(&saved).expect("it was just saved"));
        for settings in [both, with(&[], both)] {
            let again = play_bars(&mut later, &stops_after_four_bars(), |_| settings, 0..=7, true);
            assert!(again == heard, "{:?}", usual.follow);
        }
    }
}

#[test]
fn a_locked_bar_keeps_its_enhanced_notes() {
    let mut arranger = full_band();
    let settings = enhancing(EnhanceSettings::default(), arranged());
    let before = perform(&mut arranger, &song(TUNE), &settings);
    arranger.command(LedgerCommand::Lock(bar(2).start..bar(3).end()));
    let turned = enhancing(EnhanceSettings { add: 20, remove: 1.0, risk: 2.0, ..settings.enhance }, settings);
    let after = perform(&mut arranger, &song(TUNE), &turned);
    for index in 0..8 {
        let [before, after] = [&before, &after].map(|answers| places(answers, Part::Enhanced, index, 0));
        assert_eq!(before == after, (2..=3).contains(&index), "bar {index}");
    }
}

#[test]
fn a_part_that_is_turned_on_later_is_written_to_what_stands() {
    for usual in [settings(), arranged()] {
        let mut arranger = full_band();
        let before = perform(&mut arranger, &stops_after_four_bars(), &with(&[], usual));
        let both = with(&[Part::Enhanced, Part::Extension], usual);
        let after = play_bars(&mut arranger, &stops_after_four_bars(), |_| both, 0..=7, true);
        assert_eq!(of_part(&after, Part::Bass), of_part(&before, Part::Bass));
        assert!([Part::Enhanced, Part::Extension].iter().all(|part| of_part(&after, *part).len() > 3));
    }
}

#[test]
fn another_take_of_the_extension_leaves_the_band_as_it_is() {
    let mut arranger = full_band();
    let settings = extending(ExtendSettings::default(), arranged());
    let before = perform(&mut arranger, &stops_after_four_bars(), &settings);
    let parts = PerPart::from_fn(|part| part == Part::Extension);
    arranger.command(LedgerCommand::Reroll { bars: Ticks::MIN..Ticks::MAX, parts });
    idle(&mut arranger);
    let after = play_bars(&mut arranger, &stops_after_four_bars(), |_| settings, 0..=7, true);
    assert_ne!(of_part(&after, Part::Extension), of_part(&before, Part::Extension));
    assert_eq!(of_part(&after, Part::Bass), of_part(&before, Part::Bass));
}

/// Counts how often it is asked, and fails.
struct Broken(Arc<AtomicUsize>);

impl EnhancesMelodies for Broken {
    fn name(&self) -> &str {
        "Broken"
    }

    fn enhance(&mut self, _: &Song, _: &Fixed, _: &Wish) -> Result<Vec<Note>, GeneratorError> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(asked.is_multiple_of(2), "it fell apart");
        Err(GeneratorError("it is broken".into()))
    }
}

#[test]
fn an_enhancer_that_fails_is_told_and_the_band_plays_to_the_melody() {
    let (mut arranger, heard) = listening_band();
    let asked = Arc::<AtomicUsize>::default();
    arranger.set_enhancer(Some(Box::new(Broken(asked.clone()))));
    let settings = enhancing(EnhanceSettings { feeds: true, ..EnhanceSettings::default() }, settings());
    let answers = play(&mut arranger, TUNE, &settings);
    assert_eq!((of_part(&answers, Part::Enhanced).len(), arranger.failures()), (0, 16));
    let problem = arranger.problem().expect("it is told");
    assert!(problem.starts_with("Broken failed, so the melody is not enhanced: it"), "{problem}");
    let heard = heard.lock().expect("nobody panics");
    assert!(heard.last().is_some_and(|(_, melody)| melody.len() > 20), "the melody as it was played");
    assert!(!of_part(&answers, Part::Bass).is_empty());
    asked.store(0, Ordering::Relaxed);
    play(&mut arranger, TUNE, &with(&[], settings));
    assert_eq!(asked.load(Ordering::Relaxed), 0, "who is off costs nothing");
}

fn any_melody() -> impl Strategy<Value = Vec<Note>> {
    let note =
        |(start, key): (Ticks, i32)| Note { start, key: Key::folded(key), duration: 7, velocity: Velocity::default() };
    let tidy = move |notes: Vec<(Ticks, i32)>| {
        let places: BTreeSet<(Ticks, i32)> = notes.into_iter().collect();
        places.into_iter().map(note).collect::<Vec<Note>>()
    };
    let all_keys = (0..128).map(|key| (96, key)).collect::<Vec<_>>();
    prop_oneof![
        Just(Vec::new()),
        Just(vec![(50, 60)]),
        Just(all_keys),
        prop::collection::vec((0..8 * 48, 0..128), 2..60),
        prop::collection::vec((0..3 * 48, 55..75), 2..40),
    ]
    .prop_map(tidy)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is played and asked for: no bar has more new notes, nor fewer old ones, than the limits say.
    #[test]
    fn limits_hold_for_every_bar(
        melody in any_melody(), add in 0..=12_u8, remove in prop_oneof![Just(0), Just(100), 0..=100_u8], risk in 0.0..2.0_f32,
        arranges in any::<bool>(), both in any::<bool>(),
    ) {
        let enhance = EnhanceSettings { add, remove: f32::from(remove) / 100.0, risk, passes: 2, feeds: both };
        let usual = if arranges { arranged() } else { settings() };
        let mut settings = enhancing(enhance, usual);
        settings.parts[Part::Extension].on = both;
        let song = Song { melody, ..Song::default() };
        let mut arranger = full_band();
        arranger.set_extender(Some(real_extender()));
        let answers = perform(&mut arranger, &song, &settings);
        let late = if arranges { 0 } else { 48 };
        for index in 0..=7 - late / 48 {
            let (before, after) = (melody_places(&song, index), places(&answers, Part::Enhanced, index, late));
            let (added, removed) = (after.difference(&before).count(), before.difference(&after).count());
            prop_assert!(added <= usize::from(add), "bar {}: {} added of {}", index, added, add);
            let most = usize::from(remove) * before.len() / 100;
            prop_assert!(removed <= most, "bar {}: {} removed of {}", index, removed, most);
            if add == 0 && remove == 0 {
                prop_assert_eq!(before, after);
            }
        }
        if song.melody.is_empty() {
            prop_assert_eq!(of_part(&answers, Part::Enhanced).len() + of_part(&answers, Part::Extension).len(), 0);
        }
    }
}

#[test]
fn half_an_hour_of_silence_is_silent() {
    let mut arranger = full_band();
    let settings = with(&[Part::Enhanced, Part::Extension], settings());
    let notes = [Note { start: 0, key: Key::folded(60), duration: 12, velocity: Velocity::default() }];
    let song = Song { melody: notes.to_vec(), ..Song::default() };
    let answers = play_bars(&mut arranger, &song, |_| settings, 0..=900, true);
    let last = |part| of_part(&answers, part).last().map_or(0, |note| note.note.start.div_euclid(48));
    assert_eq!(last(Part::Enhanced), 1, "a bar after the only note");
    assert!((1..=4).contains(&last(Part::Extension)), "it goes on for four bars and waits");
}
