//! Why nothing may be heard, and what to do, in words. Pure.

use crate::channels::{Meters, SongView};
use crate::links::{Link, Role};
use crate::music::{Part, PerPart};
use crate::settings::Settings;
use std::sync::atomic::Ordering;

/// What the plugin can know of its surroundings.
#[derive(Debug, Clone, PartialEq)]
pub struct Surroundings {
    /// The host has asked for sound within the last moments.
    pub is_called: bool,
    pub bypassed: bool,
    /// A model is loaded, or the rules are to play.
    pub ready: bool,
    pub playing: bool,
    /// Melody notes that came in since the window was opened.
    pub melody: u32,
    /// Some bar of the song has a melody.
    pub melody_is_known: bool,
    /// Something is written where the song stands, or was played since the window was opened.
    pub answered: bool,
    /// Notes of each part that were sent since the window was opened.
    pub sent: PerPart<u32>,
    pub elsewhere: PerPart<bool>,
    pub settings: Settings,
    pub link: Link,
    /// The plugin's own instruments play.
    pub preview: bool,
    /// It is a program of its own, and no host's plugin.
    pub is_program: bool,
}

/// What of it the window itself knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setup {
    pub link: Link,
    pub preview: bool,
    pub is_program: bool,
}

/// One thing that is looked at, in the order in which sound comes about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub well: bool,
    pub what: String,
    /// What to do; empty where all is well.
    pub advice: String,
}

impl Finding {
    fn well(what: impl Into<String>) -> Self {
        Self { well: true, what: what.into(), advice: String::new() }
    }

    fn amiss(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { well: false, what: what.into(), advice: advice.into() }
    }
}

/// How often everything had been struck at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub melody: u32,
    pub parts: PerPart<u32>,
}

impl Counts {
    pub fn of(meters: &Meters) -> Self {
        Self { melody: meters.melody.get().0, parts: PerPart::from_fn(|part| meters.parts[part].get().0) }
    }
}

impl Surroundings {
    /// `since`: when the window was opened.
    pub fn of(
        view: &SongView,
        meters: &Meters,
        settings: &Settings,
        setup: Setup,
        since: &Counts,
        is_called: bool,
    ) -> Self {
        let now = Counts::of(meters);
        let sent = PerPart::from_fn(|part| now.parts[part].wrapping_sub(since.parts[part]));
        let flag = |flag: &std::sync::atomic::AtomicBool| flag.load(Ordering::Relaxed);
        Self {
            is_called,
            bypassed: flag(&meters.bypassed),
            ready: flag(&meters.ready),
            playing: flag(&meters.playing),
            melody: now.melody.wrapping_sub(since.melody),
            melody_is_known: view.ledger.bars().any(|bar| bar.melody.as_ref().is_some_and(|melody| !melody.is_empty())),
            answered: !view.chords.is_empty() || sent.0.iter().any(|count| *count > 0),
            sent,
            elsewhere: meters.parts_played_elsewhere(),
            settings: *settings,
            link: setup.link,
            preview: setup.preview,
            is_program: setup.is_program,
        }
    }
}

/// All that is looked at, from the host to the instruments.
pub fn findings(at: &Surroundings) -> Vec<Finding> {
    let mut findings = vec![host(at), transport(at), melody(at), band(at)];
    findings.extend(parts(at));
    findings.extend(output(at));
    findings
}

/// The first thing that is amiss, in a sentence for the status line.
pub fn first_obstacle(at: &Surroundings) -> Option<Finding> {
    findings(at).into_iter().find(|finding| !finding.well)
}

fn host(at: &Surroundings) -> Finding {
    if !at.is_called {
        return Finding::amiss(
            "The host is not running this plugin.",
            "Switch its audio engine on, and see that the track is neither frozen nor switched off. Some hosts let a plugin sleep \
             until something comes in or the transport runs.",
        );
    }
    if at.bypassed {
        return Finding::amiss("The plugin is bypassed.", "Switch it on in the host's device or insert list.");
    }
    Finding::well("The host runs this plugin.")
}

fn transport(at: &Surroundings) -> Finding {
    if at.playing {
        return Finding::well("The transport runs.");
    }
    if at.is_program {
        return Finding::amiss("The band waits for you.", "Play a note: the band begins with it.");
    }
    Finding::amiss(
        "The transport stands still.",
        "Press play in the host. In a host without a transport the band begins with your first note.",
    )
}

fn melody(at: &Surroundings) -> Finding {
    match at.link.role {
        Role::Part(_) => return Finding::well("The melody is heard by the band, on its own track."),
        Role::ChordTrack => return Finding::well("Keys on this track are the band's chords."),
        Role::Band => {}
    }
    match (at.melody, at.melody_is_known) {
        (1.., _) => Finding::well(format!("A melody arrives: {} since the window was opened.", notes(at.melody))),
        (0, true) => Finding::well("No melody arrives now, but one is known from before."),
        (0, false) if at.is_program => Finding::amiss(
            "No melody has arrived.",
            "Press Piano and play on its keys, or connect a MIDI keyboard and start Obbligato again.",
        ),
        (0, false) => Finding::amiss(
            "No melody has arrived.",
            "Put the melody's clip on this track, or arm the track and choose its MIDI input; or load a melody from a file.",
        ),
    }
}

fn band(at: &Surroundings) -> Finding {
    let counting_in = at.settings.count_in > 0 && at.settings.count_in_band == crate::settings::CountInBand::Rests;
    if !at.ready {
        return Finding::amiss("The model is still being loaded.", "Wait a few seconds; the rules play meanwhile.");
    }
    if at.answered {
        return Finding::well("The band answers.");
    }
    if counting_in {
        return Finding::amiss(
            "The band listens and rests.",
            "It comes in after the count-in. Set the count-in to 0, or let the band play by rule meanwhile.",
        );
    }
    Finding::amiss("The band has not played yet.", "It comes in once it has heard a melody or been given chords.")
}

/// Parts that are on and are not heard, or all being off.
fn parts(at: &Surroundings) -> Vec<Finding> {
    if at.link.role == Role::ChordTrack {
        return Vec::new();
    }
    let (settings, heard) = (&at.settings.parts, at.settings.parts.heard());
    if !Part::ALL.into_iter().any(|part| settings[part].on) {
        return vec![Finding::amiss("No part is on.", "Switch on a part.")];
    }
    let off: Vec<&str> = Part::BAND.into_iter().filter(|part| !settings[*part].on).map(Part::name).collect();
    let mut findings = Vec::new();
    if at.link.role == Role::Band && !off.is_empty() {
        // Well, since nobody wants all of them always; but it may be why one is missed.
        let (what, advice) = (format!("Off: {}.", off.join(", ")), "Switch them on in their rows if you miss them.");
        findings.push(Finding { well: true, what, advice: advice.into() });
    }
    for part in Part::ALL.into_iter().filter(|part| settings[*part].on) {
        let name = part.name();
        if !heard[part] {
            findings.push(Finding::amiss(format!("{name} is silenced by another part's solo."), "Take the solo away."));
        } else if at.elsewhere[part] {
            findings.push(Finding::well(format!("{name} is played by an instance on another track.")));
        } else if settings[part].velocity <= 0.0 {
            findings.push(Finding::amiss(format!("{name} has a velocity of 0 %."), "Turn its velocity up."));
        }
    }
    findings
}

/// What leaves, and that nobody may be there to play it.
fn output(at: &Surroundings) -> Vec<Finding> {
    let sent: u32 = at.sent.0.iter().sum();
    if at.link.role == Role::ChordTrack || sent == 0 {
        return Vec::new();
    }
    if at.is_program && !at.preview {
        return vec![Finding::amiss(
            format!("The band has sent {}, and the plugin's own Sound is off.", notes(sent)),
            "Switch Sound on in the top row.",
        )];
    }
    if at.is_program {
        let advice =
            "If you hear nothing, turn up the level beside Sound, and see that the computer's own output is not muted.";
        let what = format!("The band has sent {} to the plugin's own Sound.", notes(sent));
        return vec![Finding { well: true, what, advice: advice.into() }];
    }
    let mut channels: Vec<u8> = Part::ALL
        .into_iter()
        .filter(|part| at.sent[*part] > 0)
        .map(|part| at.settings.parts[part].channel + 1)
        .collect();
    channels.sort_unstable();
    channels.dedup();
    let names = channels.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let own = if at.preview {
        "The plugin's own Sound plays them too, to its audio output."
    } else {
        "To hear them at once, switch Sound on in the top row."
    };
    let plural = if channels.len() == 1 { "channel" } else { "channels" };
    vec![Finding {
        well: true,
        what: format!("The band has sent {}, on MIDI {plural} {names}.", notes(sent)),
        advice: format!(
            "{own} If you hear no instrument of yours, none takes the notes: a plugin cannot know what stands behind it. If all \
             parts sound alike, the host folds the channels into one: give each part a track of its own (“This track plays”)."
        ),
    }]
}

fn notes(count: u32) -> String {
    if count == 1 { "1 note".into() } else { format!("{count} notes") }
}

/// A host, and how notes get from this plugin to instruments in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSteps {
    pub name: &'static str,
    /// Of its program file, in lower case.
    programs: &'static [&'static str],
    pub steps: &'static [&'static str],
}

pub const HOSTS: [HostSteps; 6] = [
    HostSteps {
        name: "Bitwig Studio",
        programs: &["bitwig"],
        steps: &[
            "Put Obbligato (CLAP) before an instrument on the melody's track: the instrument plays the melody and all parts.",
            "For an instrument a part: add an instrument track, put a Note Receiver before its instrument and choose the melody's \
             track as its source, after the devices.",
            "In the Note Receiver's track, a Channel Filter lets one channel through: 2 bass, 3 chords, 4 pad, 5 counter, 10 drums.",
        ],
    },
    HostSteps {
        name: "Reaper",
        programs: &["reaper"],
        steps: &[
            "Put Obbligato first in the track's FX, before an instrument.",
            "For an instrument a part: route a send from this track to another, with audio set to none and MIDI from the part's \
             channel to channel 1.",
            "To play along, arm the track, choose the MIDI input and switch record monitoring on.",
        ],
    },
    HostSteps {
        name: "Ableton Live",
        programs: &["ableton", "live"],
        steps: &[
            "Put Obbligato (VST3) on a MIDI track: Live takes it for an instrument.",
            "On another MIDI track choose that track under MIDI From, and below it Obbligato instead of Post FX; set Monitor to In.",
            "Live folds all channels into one. Give each part a track with an Obbligato of its own, and choose there what the track \
             plays (\"This track plays\": Bass, Chords …), with MIDI From that track for its instrument.",
        ],
    },
    HostSteps {
        name: "Ardour",
        programs: &["ardour"],
        steps: &[
            "Put Obbligato (VST3) on a MIDI track before its instrument.",
            "For an instrument a part: connect the track's MIDI output to other MIDI tracks, and let each listen to one channel (its \
             MIDI input's channel selector).",
            "To play along, choose the keyboard as the track's input and switch input monitoring on.",
        ],
    },
    HostSteps {
        name: "FL Studio",
        programs: &["fl64", "fl.exe", "fl studio", "fl"],
        steps: &[
            "Add Obbligato (VST3) to the channel rack and open its wrapper settings (the cogwheel, then the plug).",
            "Set its MIDI output port to a number, say 1, and its input port to another for the melody.",
            "Set the MIDI input port of each instrument's wrapper to the output's number; the instrument picks the channel.",
        ],
    },
    HostSteps {
        name: "Cubase",
        programs: &["cubase", "nuendo"],
        steps: &[
            "Add Obbligato (VST3) as an instrument track with the melody on it.",
            "Add an instrument track for each part, and choose Obbligato as its MIDI input, with the part's channel.",
            "Switch Monitor on (the speaker) on these tracks.",
        ],
    },
];

/// The host whose program file is called so, as its place in [`HOSTS`].
pub fn host_of(program: &str) -> Option<usize> {
    let program = program.to_lowercase();
    HOSTS.iter().position(|host| {
        host.programs.iter().any(|name| if name.len() < 4 { program == *name } else { program.starts_with(name) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::BandNumber;
    use crate::settings::{CountInBand, PartSettings};

    /// Everything as it should be, with bass and chords playing.
    fn at_work() -> Surroundings {
        Surroundings {
            is_called: true,
            bypassed: false,
            ready: true,
            playing: true,
            melody: 12,
            melody_is_known: true,
            answered: true,
            sent: PerPart([8, 24, 0, 0, 0, 0, 0]),
            elsewhere: PerPart::default(),
            settings: Settings::default(),
            link: Link::default(),
            preview: false,
            is_program: false,
        }
    }

    fn obstacle(change: impl FnOnce(&mut Surroundings)) -> String {
        let mut at = at_work();
        change(&mut at);
        let found = first_obstacle(&at);
        assert!(found.as_ref().is_none_or(|finding| !finding.advice.is_empty()), "it says what to do");
        found.map_or_else(|| "nothing".into(), |finding| finding.what)
    }

    #[test]
    fn the_first_obstacle_is_named() {
        assert_eq!(obstacle(|_| {}), "nothing");
        assert_eq!(obstacle(|at| at.is_called = false), "The host is not running this plugin.");
        assert_eq!(obstacle(|at| at.bypassed = true), "The plugin is bypassed.");
        assert_eq!(obstacle(|at| at.playing = false), "The transport stands still.");
        assert_eq!(obstacle(|at| (at.melody, at.melody_is_known) = (0, false)), "No melody has arrived.");
        assert_eq!(obstacle(|at| at.melody = 0), "nothing", "it is known");
        assert_eq!(obstacle(|at| at.ready = false), "The model is still being loaded.");
        assert_eq!(obstacle(|at| at.answered = false), "The band has not played yet.");
        let rests = |at: &mut Surroundings| {
            (at.answered, at.settings.count_in_band) = (false, CountInBand::Rests);
        };
        assert_eq!(obstacle(rests), "The band listens and rests.");
    }

    #[test]
    fn parts_that_are_not_heard_are_named() {
        let off = |at: &mut Surroundings| {
            at.settings.parts = PerPart::from_fn(|part| PartSettings { on: false, ..PartSettings::of(part) });
        };
        assert_eq!(obstacle(off), "No part is on.");
        let solo = |at: &mut Surroundings| at.settings.parts[Part::Chords].solo = true;
        assert_eq!(obstacle(solo), "Bass is silenced by another part's solo.");
        let soft = |at: &mut Surroundings| at.settings.parts[Part::Bass].velocity = 0.0;
        assert_eq!(obstacle(soft), "Bass has a velocity of 0 %.");
        let mut at = at_work();
        at.elsewhere[Part::Bass] = true;
        let told =
            findings(&at).iter().any(|finding| finding.what == "Bass is played by an instance on another track.");
        assert!(told && first_obstacle(&at).is_none());
    }

    #[test]
    fn what_leaves_is_told_by_channel_and_that_nobody_may_listen() {
        let last = findings(&at_work()).pop().expect("there are findings");
        assert_eq!(last.what, "The band has sent 32 notes, on MIDI channels 2, 3.");
        assert!(last.well && last.advice.contains("none takes the notes") && last.advice.contains("folds"));
    }

    #[test]
    fn parts_that_are_off_are_named_and_are_no_obstacle() {
        let told = |at: &Surroundings| findings(at).into_iter().find(|finding| finding.what.starts_with("Off: "));
        let mut at = at_work();
        assert_eq!(
            told(&at).map(|finding| (finding.well, finding.what)),
            Some((true, "Off: Pad, Counter, Drums.".into()))
        );
        Part::BAND.into_iter().for_each(|part| at.settings.parts[part].on = true);
        assert_eq!(told(&at), None);
        at.settings.parts[Part::Bass].on = false;
        assert!(
            told(&at).is_some_and(|finding| finding.what == "Off: Bass." && finding.advice.contains("in their rows"))
        );
        at.link.role = Role::Part(Part::Drums);
        assert_eq!(told(&at), None, "they are another track's");
    }

    #[test]
    fn the_plugins_own_sound_is_told_of() {
        let last = |at: &Surroundings| findings(at).pop().expect("there are findings");
        let mut at = at_work();
        assert!(last(&at).advice.starts_with("To hear them at once, switch Sound on"));
        at.preview = true;
        assert!(last(&at).advice.starts_with("The plugin's own Sound plays them too"));
        at.is_program = true;
        assert_eq!(last(&at).what, "The band has sent 32 notes to the plugin's own Sound.");
        at.preview = false;
        assert_eq!(
            first_obstacle(&at).map(|finding| finding.advice).as_deref(),
            Some("Switch Sound on in the top row.")
        );
        (at.preview, at.playing) = (true, false);
        let advice = first_obstacle(&at).map(|finding| finding.advice);
        assert_eq!(advice.as_deref(), Some("Play a note: the band begins with it."));
    }

    #[test]
    fn a_chord_track_and_a_part_need_no_melody() {
        for role in [Role::ChordTrack, Role::Part(Part::Bass)] {
            let link = Link { role, band: BandNumber::default() };
            let found = obstacle(|at| (at.link, at.melody, at.melody_is_known) = (link, 0, false));
            assert_eq!(found, "nothing", "{role:?}");
        }
    }

    #[test]
    fn hosts_are_known_by_their_program() {
        let name = |program: &str| host_of(program).map(|place| HOSTS[place].name);
        for (program, host) in [
            ("reaper", Some("Reaper")),
            ("BitwigStudio", Some("Bitwig Studio")),
            ("BitwigAudioEngine-X64-AVX2", Some("Bitwig Studio")),
            ("Ableton Live 12 Suite.exe", Some("Ableton Live")),
            ("Live", Some("Ableton Live")),
            ("ardour-8.6.0", Some("Ardour")),
            ("FL64.exe", Some("FL Studio")),
            ("Cubase13.exe", Some("Cubase")),
            ("flatpak", None),
            ("obbligato", None),
            ("", None),
        ] {
            assert_eq!(name(program), host, "{program}");
        }
        assert!(HOSTS.iter().all(|host| host.steps.len() == 3));
    }
}
