//! `models`: what can play here, and on what it would be computed.

use crate::report::say;
use obbligato::generators::library::RULES;
use obbligato::model::{InstalledModel, ModelSource, drummer, enhancers, extenders, installed_models};
use obbligato::runtime::{Runtime, RuntimeChoice};
use obbligato::user_folder::models_folder;

pub fn run() {
    let (models, drummer) = (installed_models(), drummer());
    let of_melodies = [("enhances melodies", enhancers()), ("carries melodies on", extenders())];
    let others = of_melodies.iter().flat_map(|(_, models)| models).chain([&drummer]);
    let names = models.iter().chain(others).map(|model| model.name.as_str()).chain([RULES]);
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
    say(&format!("{RULES:width$}  built in; every part, style and metre, without a model"));
    for model in &models {
        say(&format!("{:width$}  {}", model.name, description(model)));
    }
    for (what, models) in &of_melodies {
        models.iter().for_each(|model| say(&format!("{:width$}  {what}; {}", model.name, description(model))));
    }
    say(&format!("{:width$}  drums for all of these; {}", drummer.name, description(&drummer)));
    if let Some(folder) = models_folder() {
        say(&format!("\nYour own models (.onnx) belong in {}", folder.display()));
    }
    let runtime = Runtime::get(&RuntimeChoice::from_environment());
    say(&format!("Models are computed by {}; `obbligato-cli devices` shows where", runtime.backend()));
    runtime.attempts().iter().filter(|attempt| attempt.failure.is_some()).for_each(|attempt| say(&attempt.to_string()));
}

fn description(model: &InstalledModel) -> String {
    let place = match &model.source {
        ModelSource::Embedded
        | ModelSource::EmbeddedDrummer
        | ModelSource::EmbeddedGan
        | ModelSource::EmbeddedUnet
        | ModelSource::EmbeddedEnhancer
        | ModelSource::EmbeddedExtender => "built in".to_owned(),
        ModelSource::File(path) => path.display().to_string(),
    };
    match &model.about {
        Ok(about) => {
            let styles = about.styles.len();
            format!("{place}; {styles} styles; trained on {}; licence {}", about.data, about.licence)
        }
        Err(error) => format!("cannot be played: {error} ({place})"),
    }
}
