//! A host that stands still: it takes what the window sets, and writes down what it is told.

use nice_plug::context::PluginApi;
use nice_plug::context::gui::{GuiContext, GuiContextInner};
use nice_plug::params::internals::ParamPtr;
use nice_plug::plugin::PluginState;
use obbligato::params::ObbligatoParams;
use std::sync::{Arc, Mutex};

pub struct Host {
    /// What the pointers it is given point into.
    _params: Arc<ObbligatoParams>,
    told: Mutex<String>,
}

impl Host {
    pub fn new(params: Arc<ObbligatoParams>) -> Arc<Self> {
        Arc::new(Self { _params: params, told: Mutex::default() })
    }

    pub fn context(self: &Arc<Self>) -> GuiContext {
        GuiContext::new(self.clone())
    }

    /// What it was told since the last time: `(Style` where a gesture begins, `=` for a value, `)` where it ends.
    pub fn told(&self) -> String {
        std::mem::take(&mut self.told.lock().expect("nobody panicked"))
    }

    fn tell(&self, what: &str) {
        *self.told.lock().expect("nobody panicked") += what;
    }
}

impl GuiContextInner for Host {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Clap
    }

    // SAFETY, of all three: the pointers come from the parameters of the window, which `_params` keeps alive.
    unsafe fn raw_begin_set_parameter(&self, param: ParamPtr) {
        let name = unsafe { param.name().to_owned() };
        self.tell(&format!("({name}"));
    }

    unsafe fn raw_set_parameter_normalized(&self, param: ParamPtr, normalized: f32) {
        unsafe { param._internal_set_normalized_value(normalized) };
        self.tell("=");
    }

    unsafe fn raw_end_set_parameter(&self, _param: ParamPtr) {
        self.tell(")");
    }

    fn get_state(&self) -> PluginState {
        unimplemented!("the window does not ask for it")
    }

    fn set_state(&self, _state: PluginState) {
        unimplemented!("the window does not set it")
    }

    fn request_restart(&self) {}
}
