//! Where everything is: the directories of the reference's global variables.

use std::path::{Path, PathBuf};

/// The directories the switch uses, named as the reference's global variables.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is the global variable of the same name")]
pub struct Dirs {
    pub base_dir: PathBuf,
    pub conf_dir: PathBuf,
    pub log_dir: PathBuf,
    pub run_dir: PathBuf,
    pub db_dir: PathBuf,
    pub mod_dir: PathBuf,
    pub htdocs_dir: PathBuf,
    pub script_dir: PathBuf,
    pub temp_dir: PathBuf,
    pub grammar_dir: PathBuf,
    pub fonts_dir: PathBuf,
    pub images_dir: PathBuf,
    pub certs_dir: PathBuf,
    pub storage_dir: PathBuf,
    pub cache_dir: PathBuf,
    pub recordings_dir: PathBuf,
    pub sounds_dir: PathBuf,
    pub data_dir: PathBuf,
    pub localstate_dir: PathBuf,
    /// Name of the root configuration file inside `conf_dir`.
    pub root_file: String,
}

impl Dirs {
    /// The root configuration file.
    pub fn root_path(&self) -> PathBuf {
        self.conf_dir.join(&self.root_file)
    }

    /// The global variables these directories become, in the reference's order.
    pub fn globals(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        vec![
            ("base_dir", text(&self.base_dir)),
            ("recordings_dir", text(&self.recordings_dir)),
            ("sound_prefix", text(&self.sounds_dir)),
            ("sounds_dir", text(&self.sounds_dir)),
            ("conf_dir", text(&self.conf_dir)),
            ("log_dir", text(&self.log_dir)),
            ("run_dir", text(&self.run_dir)),
            ("db_dir", text(&self.db_dir)),
            ("mod_dir", text(&self.mod_dir)),
            ("htdocs_dir", text(&self.htdocs_dir)),
            ("script_dir", text(&self.script_dir)),
            ("temp_dir", text(&self.temp_dir)),
            ("grammar_dir", text(&self.grammar_dir)),
            ("fonts_dir", text(&self.fonts_dir)),
            ("images_dir", text(&self.images_dir)),
            ("certs_dir", text(&self.certs_dir)),
            ("storage_dir", text(&self.storage_dir)),
            ("cache_dir", text(&self.cache_dir)),
            ("data_dir", text(&self.data_dir)),
            ("localstate_dir", text(&self.localstate_dir)),
        ]
    }
}
