//! What the user asks of the runtime by environment variables.

use super::{BackendChoice, Device, DeviceChoice, Precision, RuntimeChoice};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Environment variable with the absolute path of an ONNX Runtime library.
pub const LIBRARY_VARIABLE: &str = "OBBLIGATO_ONNXRUNTIME";
/// Environment variable with `auto`, `onnxruntime` or `tract`.
pub const BACKEND_VARIABLE: &str = "OBBLIGATO_BACKEND";
/// Environment variable with `auto` or the id of a [`Device`].
pub const DEVICE_VARIABLE: &str = "OBBLIGATO_DEVICE";
/// Environment variable with `full` for a model's own precision.
pub const PRECISION_VARIABLE: &str = "OBBLIGATO_PRECISION";
/// Environment variable with the number of threads that share a run in ONNX Runtime on the processor: for measuring.
pub const THREADS_VARIABLE: &str = "OBBLIGATO_THREADS";

impl RuntimeChoice {
    /// As the environment variables say; what is not set, or not known, is automatic.
    pub fn from_environment() -> Self {
        let library = std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { library, ..read(&environment).0 }
    }
}

/// What is asked for and not known: sentences that say what is.
pub fn mistakes_in_environment() -> Vec<String> {
    read(&environment).1
}

fn environment(variable: &str) -> String {
    std::env::var(variable).unwrap_or_default()
}

/// All but the library, whose path need not be text.
fn read(text_of: &impl Fn(&str) -> String) -> (RuntimeChoice, Vec<String>) {
    let mut mistakes = Vec::new();
    let mut choice = RuntimeChoice::default();
    let mut look = |variable: &str, known: &str, take: &mut dyn FnMut(&str) -> bool| {
        let text = text_of(variable).trim().to_lowercase();
        if !text.is_empty() && !take(&text) {
            mistakes.push(format!("{variable} is `{text}`, which is not known: set it to {known}, or not at all"));
        }
    };
    look(BACKEND_VARIABLE, "auto, onnxruntime or tract", &mut |text| {
        let backends = [
            ("auto", BackendChoice::Auto),
            ("onnxruntime", BackendChoice::OnnxRuntime),
            ("tract", BackendChoice::Tract),
        ];
        let found = backends.into_iter().find(|(name, _)| *name == text);
        found.inspect(|(_, backend)| choice.backend = *backend).is_some()
    });
    let ids = Device::ALL.map(Device::id).join(", ");
    look(DEVICE_VARIABLE, &format!("auto or one of {ids}"), &mut |text| {
        choice.device = DeviceChoice::from_id(text);
        choice.device != DeviceChoice::Auto || text == DeviceChoice::Auto.id()
    });
    look(PRECISION_VARIABLE, "fast or full", &mut |text| {
        let found = [("fast", Precision::Fast), ("full", Precision::Full)].into_iter().find(|(name, _)| *name == text);
        found.inspect(|(_, precision)| choice.precision = *precision).is_some()
    });
    look(THREADS_VARIABLE, "a number from 1 on", &mut |text| {
        choice.threads = text.parse::<NonZeroUsize>().ok();
        choice.threads.is_some()
    });
    (choice, mistakes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> (RuntimeChoice, Vec<String>) {
        read(&|variable: &str| {
            let set = variables.iter().find(|(name, _)| *name == variable);
            set.map_or_else(String::new, |(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn nothing_set_is_automatic() {
        assert_eq!(found(&[]), (RuntimeChoice::default(), vec![]));
    }

    #[test]
    fn what_is_set_is_taken_whatever_its_case() {
        let (choice, mistakes) = found(&[
            (BACKEND_VARIABLE, "Tract"),
            (DEVICE_VARIABLE, " webgpu "),
            (PRECISION_VARIABLE, "FULL"),
            (THREADS_VARIABLE, "2"),
        ]);
        assert_eq!(mistakes, Vec::<String>::new());
        let device = DeviceChoice::One(Device::WebGpu);
        let threads = NonZeroUsize::new(2);
        let (backend, precision) = (BackendChoice::Tract, Precision::Full);
        assert_eq!(choice, RuntimeChoice { library: None, backend, device, precision, threads });
        assert_eq!(found(&[(DEVICE_VARIABLE, "auto"), (BACKEND_VARIABLE, "auto")]).1, Vec::<String>::new());
    }

    #[test]
    fn what_is_not_known_is_said_and_automatic() {
        for (variable, text) in [
            (BACKEND_VARIABLE, "trakt"),
            (DEVICE_VARIABLE, "gpu"),
            (PRECISION_VARIABLE, "double"),
            (THREADS_VARIABLE, "0"),
            (THREADS_VARIABLE, "two"),
        ] {
            let (choice, mistakes) = found(&[(variable, text)]);
            assert_eq!(choice, RuntimeChoice::default());
            assert!(matches!(&mistakes[..], [said] if said.contains(variable) && said.contains(text)), "{mistakes:?}");
        }
        let said = &found(&[(DEVICE_VARIABLE, "gpu")]).1[0];
        assert!(
            said.ends_with("auto or one of cpu, cuda, tensorrt, directml, coreml, webgpu, or not at all"),
            "{said}"
        );
    }
}
