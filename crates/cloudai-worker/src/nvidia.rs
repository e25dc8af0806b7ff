//! The machine's NVIDIA GPUs, through NVIDIA's management library (NVML), which is loaded where there is one. Comes in: where the library
//! lies. Goes out: which GPUs there are, and what each of them does at this moment. It knows neither tasks nor containers.

use std::ffi::OsStr;
use std::path::Path;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;

/// One GPU, for as long as the machine runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gpu {
    /// `GPU-…`: the same after a restart, wherever the card is plugged in. The engine takes it as a device id.
    pub uuid: String,
    /// As the vendor writes it: `NVIDIA H200`.
    pub model: String,
    /// All of its memory; 0: it does not say.
    pub memory_bytes: u64,
}

/// What a GPU does now. Each is absent where the GPU does not say.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Reading {
    /// Share of the last sample period (a sixth of a second to a second) in which something ran on it: 0 to 1.
    pub busy: Option<f64>,
    pub memory_used_bytes: Option<u64>,
    pub temperature_celsius: Option<u32>,
}

/// The library, loaded; its calls take up to some milliseconds each, and block.
pub struct Nvidia(Nvml);

impl Nvidia {
    /// `library`: where it lies; `None`: where the driver's package puts it.
    pub fn load(library: Option<&Path>) -> Result<Nvidia, NvmlError> {
        let nvml = match library {
            None => Nvml::init(),
            Some(path) => Nvml::builder().lib_path(OsStr::new(path)).init(),
        };
        nvml.map(Nvidia)
    }

    /// All GPUs, in the library's order. One that cannot even be named is left out: nothing could be given it.
    pub fn gpus(&self) -> Result<Vec<Gpu>, NvmlError> {
        let mut gpus = vec![];
        for index in 0..self.0.device_count()? {
            let one = || -> Result<Gpu, NvmlError> {
                let device = self.0.device_by_index(index)?;
                let memory_bytes = device.memory_info().map_or(0, |m| m.total);
                Ok(Gpu { uuid: device.uuid()?, model: device.name()?, memory_bytes })
            };
            match one() {
                Ok(gpu) => gpus.push(gpu),
                Err(error) => tracing::warn!(index, %error, "a GPU does not answer; no task will get it"),
            }
        }
        Ok(gpus)
    }

    /// What this one does now. Nothing at all is said of one that has fallen off its bus.
    pub fn read(&self, gpu: &Gpu) -> Reading {
        let Ok(device) = self.0.device_by_uuid(gpu.uuid.as_str()) else { return Reading::default() };
        Reading {
            busy: device.utilization_rates().ok().map(|u| f64::from(u.gpu) / 100.0),
            memory_used_bytes: device.memory_info().ok().map(|m| m.used),
            temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        }
    }
}

/// The label value of these GPUs' model, `NVIDIA-H200`; `None`: there are none, or they differ.
pub fn model_label(gpus: &[Gpu]) -> Option<String> {
    let first = &gpus.first()?.model;
    if gpus.iter().any(|g| g.model != *first) {
        return None;
    }
    let word = |c: char| if c.is_ascii_graphic() && !matches!(c, '=' | ',') { c } else { '-' };
    Some(first.chars().map(word).take(cloudai_types::limits::LABEL_BYTES_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(model: &str) -> Gpu {
        Gpu { uuid: "GPU-1".into(), model: model.into(), memory_bytes: 1 }
    }

    #[test]
    fn a_model_becomes_a_label_when_all_agree() {
        assert_eq!(model_label(&[gpu("NVIDIA H200"), gpu("NVIDIA H200")]).as_deref(), Some("NVIDIA-H200"));
        assert_eq!(model_label(&[gpu("a=b,c d")]).as_deref(), Some("a-b-c-d"));
        assert_eq!(model_label(&[gpu("NVIDIA H200"), gpu("NVIDIA L4")]), None);
        assert_eq!(model_label(&[]), None);
        let labels = [("gpu.model".to_owned(), model_label(&[gpu(&"x ".repeat(200))]).unwrap())].into();
        assert_eq!(cloudai_types::spec::check_labels(&labels), Ok(()));
    }
}
