//! Says which of the models that a build can do without are there, to be built in: `src/model.rs` asks.

use std::path::Path;

const WEIGHTS: &str = "models/weights";
const OPTIONAL: [&str; 4] = ["gan", "unet", "enhancer", "extender"];

fn main() {
    // The folder, not the files: one that is missing would be looked for, and all be built anew, each time.
    println!("cargo::rerun-if-changed={WEIGHTS}");
    for name in OPTIONAL {
        println!("cargo::rustc-check-cfg=cfg(has_{name})");
        if Path::new(WEIGHTS).join(name).with_extension("onnx").exists() {
            println!("cargo::rustc-cfg=has_{name}");
        }
    }
}
