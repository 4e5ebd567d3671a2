//! What the kernel allows the process: open files, core dumps, identity.

use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::{Group, Uid, User, initgroups, setgid, setuid};

/// Open files below which a busy switch runs out: two sockets per leg, two legs per call.
const FEW_FILES: u64 = 8192;

/// Raises the limit on open files to what the system grants; returns the limit in force.
///
/// # Errors
/// The kernel does not say what the limit is.
pub fn raise_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Ok(hard);
    }
    Ok(soft)
}

/// Whether a limit on open files will be felt, with the sentence to log.
pub fn open_files_warning(limit: u64) -> Option<String> {
    (limit < FEW_FILES).then(|| {
        format!(
            "Only {limit} open files are allowed: about {} calls. Raise it with LimitNOFILE= in the \
             unit, or ulimit -n",
            limit / 4
        )
    })
}

/// Lets the kernel write core dumps, or not.
///
/// # Errors
/// The hard limit forbids it.
pub fn core_dumps(wanted: bool) -> io::Result<()> {
    let size = if wanted { RLIM_INFINITY } else { 0 };
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, size.min(hard), hard)?;
    if wanted && hard != RLIM_INFINITY {
        return Err(io::Error::other(format!("the hard limit is {hard} bytes")));
    }
    Ok(())
}

/// Who to become, looked up before anything is bound so that a misspelt name fails at once.
#[derive(Debug, Clone)]
pub struct Identity {
    user: Option<User>,
    group: Option<Group>,
}

/// Why the identity could not be found or taken.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// `-u` names an unknown user.
    #[error("-u {0}: no such user")]
    NoUser(String),
    /// `-g` names nothing.
    #[error("-g {0}: no such group")]
    NoGroup(String),
    /// The kernel refused.
    #[error("cannot become {who}: {source}")]
    Refused {
        /// User or group.
        who: String,
        /// Why.
        source: io::Error,
    },
}

impl Identity {
    /// Looks up the names given by `-u` and `-g`.
    ///
    /// # Errors
    /// A name that does not exist, or a user database that cannot be read.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Self, IdentityError> {
        let refused = |who: &str| {
            let who = who.to_owned();
            move |errno: nix::errno::Errno| IdentityError::Refused { who, source: errno.into() }
        };
        let user = match user {
            None => None,
            Some(name) => Some(
                User::from_name(name)
                    .map_err(refused(name))?
                    .ok_or_else(|| IdentityError::NoUser(name.to_owned()))?,
            ),
        };
        let group = match group {
            None => None,
            Some(name) => Some(
                Group::from_name(name)
                    .map_err(refused(name))?
                    .ok_or_else(|| IdentityError::NoGroup(name.to_owned()))?,
            ),
        };
        Ok(Self { user, group })
    }

    /// Becomes them, for the whole process: group first, supplementary groups, then user. Call it when
    /// the ports are bound. Does nothing without `-u` and `-g`, or when already that user.
    ///
    /// # Errors
    /// The kernel refuses, usually because the process did not start as root.
    pub fn take(&self) -> Result<(), IdentityError> {
        let refused = |who: &str| {
            let who = who.to_owned();
            move |errno: nix::errno::Errno| IdentityError::Refused { who, source: errno.into() }
        };
        if self.is_current() {
            return Ok(());
        }
        let gid = self.group.as_ref().map(|g| g.gid).or_else(|| self.user.as_ref().map(|u| u.gid));
        if let (Some(user), Some(gid)) = (&self.user, gid) {
            let name = std::ffi::CString::new(user.name.as_str()).unwrap_or_default();
            initgroups(&name, gid).map_err(refused(&user.name))?;
        }
        if let Some(gid) = gid {
            let who = self.group.as_ref().map_or("the user's group", |g| g.name.as_str());
            setgid(gid).map_err(refused(who))?;
        }
        if let Some(user) = &self.user {
            setuid(user.uid).map_err(refused(&user.name))?;
        }
        Ok(())
    }

    /// The user and group a state directory should belong to, when it is still root who makes it.
    pub fn owner(&self) -> Option<(Option<u32>, Option<u32>)> {
        if !Uid::effective().is_root() || (self.user.is_none() && self.group.is_none()) {
            return None;
        }
        let uid = self.user.as_ref().map(|u| u.uid.as_raw());
        let gid = self.group.as_ref().map(|g| g.gid).or_else(|| self.user.as_ref().map(|u| u.gid));
        Some((uid, gid.map(nix::unistd::Gid::as_raw)))
    }

    /// Gives the open files of root's that are in these directories, or are one of these paths, to the user the switch
    /// will run as. It goes by what is open: a path may have been made to lead elsewhere by the user of an earlier run.
    ///
    /// # Errors
    /// The kernel does not tell what is open, or refuses for one of them.
    pub fn give_open_files(&self, places: &[&Path]) -> io::Result<()> {
        let Some((uid, gid)) = self.owner() else { return Ok(()) };
        let places: Vec<PathBuf> =
            places.iter().filter_map(|place| place.canonicalize().ok()).collect();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            let open = entry?.path();
            // The directory's own descriptor is gone by now.
            let (Ok(path), Ok(of)) = (open.read_link(), open.metadata()) else { continue };
            let ours = places.iter().any(|place| path.starts_with(place));
            if ours && of.is_file() && of.uid() == 0 {
                chown(&open, uid, gid).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
            }
        }
        Ok(())
    }

    fn is_current(&self) -> bool {
        let user = self.user.as_ref().is_none_or(|u| u.uid == Uid::effective());
        let group = self.group.as_ref().is_none_or(|g| g.gid == nix::unistd::Gid::effective());
        user && group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_raised_to_the_hard_limit() {
        let raised = raise_open_files().expect("limit");
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limit");
        assert_eq!((soft, raised), (hard, hard));
    }

    #[test]
    fn few_files_are_worth_a_warning() {
        assert!(open_files_warning(1024).is_some_and(|text| text.contains("256 calls")));
        assert_eq!(open_files_warning(1 << 20), None);
    }

    #[test]
    fn unknown_names_are_refused_before_anything_starts() {
        let user = Identity::find(Some("no such user"), None);
        assert!(matches!(user, Err(IdentityError::NoUser(_))), "{user:?}");
        let group = Identity::find(None, Some("no such group"));
        assert!(matches!(group, Err(IdentityError::NoGroup(_))), "{group:?}");
    }

    #[test]
    fn becoming_oneself_is_nothing_to_do() {
        let me = User::from_uid(Uid::effective()).ok().flatten();
        let name = me.as_ref().map(|user| user.name.as_str());
        let identity = Identity::find(name, None).expect("own name");
        identity.take().expect("already so");
        Identity::find(None, None).expect("nobody").take().expect("nothing asked");
    }
}
