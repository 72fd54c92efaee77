//! How the program tries to be heard: one sound system after the other. Pure.

use super::Standalone;

/// One way to start the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What is there if it succeeds.
    pub found: Standalone,
    /// For the framework: what the user gave, and the rest.
    pub arguments: Vec<String>,
}

const JACK: &str = "jack";
const SILENT: &str = "dummy";
/// As the framework calls them, best first.
const BACKENDS: &[&str] = if cfg!(target_os = "macos") {
    &["core-audio"]
} else if cfg!(target_os = "windows") {
    &["wasapi"]
} else {
    &[JACK, "alsa"]
};
/// Samples a second and samples a block: some devices take but one of them.
const FORMATS: [(&str, &str); 3] = [("48000", "512"), ("44100", "512"), ("48000", "1024")];

/// What to try, in this order, until the plugin starts. `given`: the command line with the program's name; `keyboard`: the
/// MIDI keyboard that is there. What the user says is not changed.
pub fn attempts(given: &[String], keyboard: Option<&str>) -> Vec<Attempt> {
    let told = option(given, &["--backend", "-b"]);
    if told.is_some() || given.iter().any(|argument| ["-h", "--help"].contains(&argument.as_str())) {
        let keyboard = option(given, &["--midi-input"]);
        let has_audio = told.as_deref() != Some(SILENT);
        return vec![Attempt { found: Standalone { has_audio, keyboard }, arguments: given.to_vec() }];
    }
    let mut attempts = Vec::new();
    for backend in BACKENDS {
        // A JACK server decides itself, and its user connects what is to play.
        let formats = if *backend == JACK { &FORMATS[..1] } else { &FORMATS[..] };
        attempts.extend(formats.iter().map(|format| on_device(given, backend, *format, keyboard)));
    }
    attempts.dedup();
    attempts.push(Attempt { found: Standalone::default(), arguments: with(given, &["--backend", SILENT]) });
    attempts
}

fn on_device(given: &[String], backend: &str, (rate, period): (&str, &str), keyboard: Option<&str>) -> Attempt {
    let mut options = vec!["--backend", backend];
    if option(given, &["--sample-rate", "-r"]).is_none() {
        options.extend(["--sample-rate", rate]);
    }
    if option(given, &["--period-size", "-p"]).is_none() {
        options.extend(["--period-size", period]);
    }
    let chosen = option(given, &["--midi-input"]);
    let offered = keyboard.filter(|_| chosen.is_none() && backend != JACK);
    options.extend(offered.into_iter().flat_map(|name| ["--midi-input", name]));
    let keyboard = chosen.or_else(|| offered.map(str::to_owned));
    Attempt { found: Standalone { has_audio: true, keyboard }, arguments: with(given, &options) }
}

fn with(given: &[String], options: &[&str]) -> Vec<String> {
    given.iter().cloned().chain(options.iter().map(|option| (*option).to_owned())).collect()
}

/// The value of an option that was given as `--name value`, `--name=value`, `-n value` or `-nvalue`.
fn option(given: &[String], names: &[&str]) -> Option<String> {
    given.iter().enumerate().skip(1).find_map(|(place, argument)| {
        let name = names.iter().find(|name| argument.starts_with(**name))?;
        match argument[name.len()..].strip_prefix('=').unwrap_or(&argument[name.len()..]) {
            "" => given.get(place + 1).cloned(),
            // `--backends` is another option than `--backend`.
            _ if name.starts_with("--") && !argument[name.len()..].starts_with('=') => None,
            value => Some(value.to_owned()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn tried(text: &str, keyboard: Option<&str>) -> Vec<String> {
        let attempts = attempts(&line(text), keyboard);
        attempts.iter().map(|attempt| attempt.arguments[line(text).len()..].join(" ")).collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn one_sound_system_after_the_other_and_at_last_none() {
        assert_eq!(
            tried("obbligato", Some("Keystation")),
            [
                "--backend jack --sample-rate 48000 --period-size 512",
                "--backend alsa --sample-rate 48000 --period-size 512 --midi-input Keystation",
                "--backend alsa --sample-rate 44100 --period-size 512 --midi-input Keystation",
                "--backend alsa --sample-rate 48000 --period-size 1024 --midi-input Keystation",
                "--backend dummy",
            ]
        );
        let all = attempts(&line("obbligato"), Some("Keystation"));
        let keyboards: Vec<Option<&str>> = all.iter().map(|attempt| attempt.found.keyboard.as_deref()).collect();
        assert_eq!(keyboards, [None, Some("Keystation"), Some("Keystation"), Some("Keystation"), None]);
        assert!(all[..4].iter().all(|attempt| attempt.found.has_audio) && !all[4].found.has_audio);
    }

    #[test]
    fn what_the_user_says_stays() {
        let all = tried("obbligato -r 96000 --period-size=64 --midi-input Organ", Some("Keystation"));
        let (silent, heard) = all.split_last().expect("attempts");
        assert_eq!(silent, "--backend dummy");
        assert!(
            heard.iter().all(|options| options.starts_with("--backend ") && options.split(' ').count() == 2),
            "{all:?}"
        );
        for text in ["obbligato --backend=alsa", "obbligato -b alsa", "obbligato -balsa", "obbligato --help"] {
            assert_eq!(tried(text, Some("Keystation")), [""], "{text}");
            assert!(attempts(&line(text), None)[0].found.has_audio);
        }
        assert!(!attempts(&line("obbligato --backend dummy"), None)[0].found.has_audio);
    }
}
