//! Where everything is: the directories of the reference's global variables.
//!
//! Order: own flag, then `-base`, then the first installation found (`/etc/ferroswitch`,
//! `/etc/freeswitch`, `/usr/local/freeswitch`), then a `conf/` in the working directory or above the
//! binary, so that a checkout runs without installing anything. Directories that hold state are made
//! on demand; one that cannot be written is replaced by the user's own, and said so, because a first
//! run must not fail for lack of root.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use nix::unistd::{AccessFlags, access};

use base::dirs::Dirs;

use super::cli::DirOptions;

/// Name of the root configuration file unless `-cfgname` says otherwise.
pub const ROOT_FILE: &str = "freeswitch.xml";

/// How far above the binary a `conf/` is looked for (`target/release/ferroswitch` is three deep).
const PARENTS_OF_BINARY: usize = 4;

/// What the resolution may look at; tests give their own.
pub struct Surroundings<'a> {
    /// Working directory.
    pub cwd: &'a Path,
    /// Path of the running binary, if known.
    pub exe: Option<&'a Path>,
    /// Whether a file exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
}

/// One shape of installation.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Layout {
    /// Everything under one directory: `-base`, or a plain prefix build.
    Prefix { root: PathBuf, certs: &'static str },
    /// Spread over `etc`, `var`, `share`; `prefix` is empty for `/etc` itself.
    Spread { prefix: PathBuf, name: &'static str },
    /// `conf/` in a checkout, state in `var/` beside it.
    Checkout { root: PathBuf },
}

/// Resolves against the real file system.
///
/// # Errors
/// The working directory is gone and no `-base` was given.
pub fn resolve(options: &DirOptions) -> io::Result<Dirs> {
    let cwd = env::current_dir()?;
    let exe = env::current_exe().ok();
    Ok(resolve_in(
        options,
        &Surroundings { cwd: &cwd, exe: exe.as_deref(), exists: &|path| path.exists() },
    ))
}

/// Resolves in given surroundings; relative flags are made absolute against `cwd`.
pub fn resolve_in(options: &DirOptions, around: &Surroundings<'_>) -> Dirs {
    let root_file = options.cfgname.clone().unwrap_or_else(|| ROOT_FILE.to_owned());
    let mut dirs = Layout::choose(options, &root_file, around).dirs(root_file);
    let given = |flag: &Option<PathBuf>, slot: &mut PathBuf| {
        if let Some(path) = flag {
            *slot = around.cwd.join(path);
        }
    };
    given(&options.conf, &mut dirs.conf_dir);
    given(&options.log, &mut dirs.log_dir);
    // As the reference: without -run, an explicit log directory also gets the pid file.
    given(&options.log, &mut dirs.run_dir);
    given(&options.run, &mut dirs.run_dir);
    given(&options.db, &mut dirs.db_dir);
    given(&options.modules, &mut dirs.mod_dir);
    given(&options.htdocs, &mut dirs.htdocs_dir);
    given(&options.scripts, &mut dirs.script_dir);
    given(&options.temp, &mut dirs.temp_dir);
    given(&options.grammar, &mut dirs.grammar_dir);
    given(&options.certs, &mut dirs.certs_dir);
    given(&options.storage, &mut dirs.storage_dir);
    given(&options.cache, &mut dirs.cache_dir);
    given(&options.recordings, &mut dirs.recordings_dir);
    given(&options.sounds, &mut dirs.sounds_dir);
    dirs
}

/// Makes the directories that hold state. One that was not asked for by a flag and cannot be
/// written is replaced by one under `fallback`. Returns what the administrator should know.
pub fn prepare(dirs: &mut Dirs, options: &DirOptions, fallback: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    let state = [
        (&mut dirs.log_dir, options.log.is_some(), "log"),
        (&mut dirs.run_dir, options.run.is_some() || options.log.is_some(), "run"),
        (&mut dirs.db_dir, options.db.is_some(), "db"),
        (&mut dirs.recordings_dir, options.recordings.is_some(), "recordings"),
        (&mut dirs.storage_dir, options.storage.is_some(), "storage"),
        (&mut dirs.cache_dir, options.cache.is_some(), "cache"),
    ];
    for (dir, by_flag, name) in state {
        let Err(reason) = make_writable(dir) else { continue };
        if by_flag || options.base.is_some() {
            notes.push(format!("{name} directory {}: {reason}", dir.display()));
            continue;
        }
        let instead = fallback.join(name);
        match make_writable(&instead) {
            Ok(()) => {
                notes.push(format!(
                    "{name} directory {}: {reason}; using {} instead",
                    dir.display(),
                    instead.display()
                ));
                *dir = instead;
            }
            Err(_) => notes.push(format!("{name} directory {}: {reason}", dir.display())),
        }
    }
    notes
}

/// The user's own place for state, where an installation's directories cannot be written.
pub fn user_state() -> PathBuf {
    let home = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    home("XDG_STATE_HOME")
        .or_else(|| home("HOME").map(|h| h.join(".local/state")))
        .unwrap_or_else(env::temp_dir)
        .join("ferroswitch")
}

impl Layout {
    fn choose(options: &DirOptions, root_file: &str, around: &Surroundings<'_>) -> Self {
        if let Some(base) = &options.base {
            return Self::Prefix {
                root: around.cwd.join(base),
                // The reference says `cert` under -base and `certs` under a prefix.
                certs: "cert",
            };
        }
        let found = Self::candidates(around)
            .into_iter()
            .find(|layout| (around.exists)(&layout.conf_dir().join(root_file)));
        found.unwrap_or_else(|| Self::Checkout { root: around.cwd.to_owned() })
    }

    fn candidates(around: &Surroundings<'_>) -> Vec<Self> {
        let prefix = PathBuf::from("/usr/local/freeswitch");
        let spread = |prefix: &Path, name| Self::Spread { prefix: prefix.to_owned(), name };
        let mut all = vec![
            spread(Path::new("/"), "ferroswitch"),
            spread(Path::new("/"), "freeswitch"),
            Self::Prefix { root: prefix.clone(), certs: "certs" },
            spread(&prefix, "freeswitch"),
            Self::Checkout { root: around.cwd.to_owned() },
        ];
        let above = around.exe.into_iter().flat_map(Path::ancestors).skip(1);
        all.extend(
            above.take(PARENTS_OF_BINARY).map(|dir| Self::Checkout { root: dir.to_owned() }),
        );
        all
    }

    fn conf_dir(&self) -> PathBuf {
        match self {
            Self::Prefix { root, .. } | Self::Checkout { root } => root.join("conf"),
            Self::Spread { prefix, name } => prefix.join("etc").join(name),
        }
    }

    fn dirs(&self, root_file: String) -> Dirs {
        match self {
            Self::Prefix { root, certs } => under_one(root, root, certs, root_file),
            Self::Checkout { root } => {
                let mut dirs = under_one(root, &root.join("var"), "certs", root_file);
                dirs.conf_dir = self.conf_dir();
                dirs.base_dir.clone_from(root);
                dirs
            }
            Self::Spread { prefix, name } => spread_out(prefix, name, root_file),
        }
    }
}

/// Every directory under `state`, the configuration under `root`.
fn under_one(root: &Path, state: &Path, certs: &str, root_file: String) -> Dirs {
    Dirs {
        base_dir: root.to_owned(),
        conf_dir: root.join("conf"),
        log_dir: state.join("log"),
        run_dir: state.join("run"),
        db_dir: state.join("db"),
        mod_dir: state.join("mod"),
        htdocs_dir: state.join("htdocs"),
        script_dir: state.join("scripts"),
        temp_dir: PathBuf::from("/tmp"),
        grammar_dir: state.join("grammar"),
        fonts_dir: state.join("fonts"),
        images_dir: state.join("images"),
        certs_dir: state.join(certs),
        storage_dir: state.join("storage"),
        cache_dir: state.join("cache"),
        recordings_dir: state.join("recordings"),
        sounds_dir: state.join("sounds"),
        data_dir: state.to_owned(),
        localstate_dir: state.to_owned(),
        root_file,
    }
}

/// The directories of a packaged build: `/etc/NAME`, `/var/lib/NAME` and so on.
fn spread_out(prefix: &Path, name: &str, root_file: String) -> Dirs {
    let usr = if prefix == Path::new("/") { Path::new("/usr") } else { prefix };
    let etc = prefix.join("etc").join(name);
    let lib = prefix.join("var/lib").join(name);
    let share = usr.join("share").join(name);
    Dirs {
        base_dir: usr.to_owned(),
        log_dir: prefix.join("var/log").join(name),
        run_dir: prefix.join("var/run").join(name),
        db_dir: lib.join("db"),
        mod_dir: usr.join("lib").join(name).join("mod"),
        htdocs_dir: share.join("htdocs"),
        script_dir: share.join("scripts"),
        temp_dir: PathBuf::from("/tmp"),
        grammar_dir: share.join("grammar"),
        fonts_dir: share.join("fonts"),
        images_dir: lib.join("images"),
        certs_dir: etc.join("tls"),
        storage_dir: lib.join("storage"),
        cache_dir: prefix.join("var/cache").join(name),
        recordings_dir: lib.join("recordings"),
        sounds_dir: share.join("sounds"),
        data_dir: share,
        localstate_dir: lib,
        conf_dir: etc,
        root_file,
    }
}

fn make_writable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    access(dir, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(options: &DirOptions, files: &[&str]) -> Dirs {
        resolve_in(
            options,
            &Surroundings {
                cwd: Path::new("/srv/pbx"),
                exe: Some(Path::new("/src/target/release/ferroswitch")),
                exists: &|path| files.iter().any(|file| Path::new(file) == path),
            },
        )
    }

    #[test]
    fn own_flag_beats_base_beats_installation() {
        let options =
            DirOptions { base: Some("/b".into()), log: Some("/l".into()), ..DirOptions::default() };
        let dirs = resolved(&options, &["/etc/freeswitch/freeswitch.xml"]);
        assert_eq!(dirs.conf_dir, Path::new("/b/conf"));
        assert_eq!(dirs.log_dir, Path::new("/l"));
        assert_eq!(dirs.run_dir, Path::new("/l"), "pid file follows -log");
        assert_eq!(dirs.certs_dir, Path::new("/b/cert"));
        assert_eq!(dirs.db_dir, Path::new("/b/db"));
    }

    #[test]
    fn an_installed_freeswitch_is_taken_over() {
        let dirs = resolved(
            &DirOptions::default(),
            &["/srv/pbx/conf/freeswitch.xml", "/etc/freeswitch/freeswitch.xml"],
        );
        assert_eq!(dirs.conf_dir, Path::new("/etc/freeswitch"));
        assert_eq!(dirs.db_dir, Path::new("/var/lib/freeswitch/db"));
        assert_eq!(dirs.run_dir, Path::new("/var/run/freeswitch"));
        assert_eq!(dirs.sounds_dir, Path::new("/usr/share/freeswitch/sounds"));
        assert_eq!(dirs.certs_dir, Path::new("/etc/freeswitch/tls"));
    }

    #[test]
    fn prefix_builds_are_found_in_both_shapes() {
        let plain =
            resolved(&DirOptions::default(), &["/usr/local/freeswitch/conf/freeswitch.xml"]);
        assert_eq!(plain.sounds_dir, Path::new("/usr/local/freeswitch/sounds"));
        assert_eq!(plain.certs_dir, Path::new("/usr/local/freeswitch/certs"));
        let spread = resolved(
            &DirOptions::default(),
            &["/usr/local/freeswitch/etc/freeswitch/freeswitch.xml"],
        );
        assert_eq!(spread.sounds_dir, Path::new("/usr/local/freeswitch/share/freeswitch/sounds"));
    }

    #[test]
    fn a_checkout_runs_from_anywhere() {
        let here = resolved(&DirOptions::default(), &["/srv/pbx/conf/freeswitch.xml"]);
        assert_eq!(here.conf_dir, Path::new("/srv/pbx/conf"));
        assert_eq!(here.log_dir, Path::new("/srv/pbx/var/log"));
        let beside_binary = resolved(&DirOptions::default(), &["/src/conf/freeswitch.xml"]);
        assert_eq!(beside_binary.conf_dir, Path::new("/src/conf"));
        assert_eq!(beside_binary.sounds_dir, Path::new("/src/var/sounds"));
    }

    #[test]
    fn relative_flags_and_other_root_files() {
        let options = DirOptions {
            conf: Some("etc".into()),
            cfgname: Some("main.xml".into()),
            ..DirOptions::default()
        };
        assert_eq!(resolved(&options, &[]).root_path(), Path::new("/srv/pbx/etc/main.xml"));
    }

    #[test]
    fn globals_carry_the_reference_names() {
        let globals = resolved(&DirOptions::default(), &[]).globals();
        let value = |name| globals.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(value("script_dir"), Some("/srv/pbx/var/scripts"));
        assert_eq!(value("sound_prefix"), value("sounds_dir"));
        assert_eq!(globals.len(), 20);
    }

    #[test]
    fn an_unwritable_directory_is_replaced_unless_asked_for() {
        let scratch = base::scratch::Scratch::new("dirs");
        let blocker = scratch.path().join("file");
        fs::write(&blocker, "").expect("scratch file");
        let state = scratch.path().join("state");
        // A directory cannot be made under a plain file, not even by root.
        let mut dirs = under_one(&blocker, &blocker, "certs", ROOT_FILE.to_owned());
        let notes = prepare(&mut dirs, &DirOptions::default(), &state);
        assert_eq!(dirs.log_dir, state.join("log"));
        assert!(state.join("db").is_dir());
        assert_eq!(notes.len(), 6, "{notes:?}");

        let mut dirs = under_one(&blocker, &blocker, "certs", ROOT_FILE.to_owned());
        let flagged = DirOptions { log: Some(dirs.log_dir.clone()), ..DirOptions::default() };
        prepare(&mut dirs, &flagged, &state);
        assert_eq!(dirs.log_dir, blocker.join("log"), "a flag is never second-guessed");
    }
}
