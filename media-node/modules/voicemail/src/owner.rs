//! The owner of a mailbox: a user of the directory with `vm-…` parameters.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialplan_xml::directory::User;
use esl_server::event::Event;
use switch_core::switch::Switch;
use switch_core::text::{int, is_false, is_true};
use switch_core::xml;

use crate::profile::Profile;

/// An owner.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) id: String,
    pub(crate) domain: String,
    user: User,
}

impl Owner {
    pub(crate) fn new(user: User, domain: &str) -> Self {
        Self { id: user.id.to_string(), domain: domain.to_owned(), user }
    }

    /// A parameter; of several the last counts. Empty is none.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.user.params.last(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn truth(&self, name: &str) -> bool {
        self.param(name).is_some_and(is_true)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        !self.param("vm-enabled").is_some_and(is_false)
    }

    /// Time zone: the parameter wins over the variable.
    pub(crate) fn timezone(&self) -> Option<&str> {
        let variable = self.user.variables.last("timezone").filter(|zone| !zone.is_empty());
        self.param("timezone").or(variable)
    }

    /// Seconds the box may hold; 0 is no bound.
    pub(crate) fn quota(&self) -> i64 {
        self.param("vm-disk-quota").map_or(0, int)
    }

    /// Where the files of the box lie.
    pub(crate) fn folder(&self, profile: &Profile, storage: &Path) -> PathBuf {
        let id = component(&self.id);
        if let Some(own) = self.param("vm-storage-dir") {
            return storage.join("voicemail").join(own);
        }
        if let Some(domain) = self.param("vm-domain-storage-dir") {
            return Path::new(domain).join(id);
        }
        if let Some(domain) = self.param("storage-dir") {
            tracing::warn!(
                "Using deprecated 'storage-dir' directory variable: Please use 'vm-domain-storage-dir'."
            );
            return Path::new(domain).join(id);
        }
        let domain = component(&self.domain);
        if profile.storage_dir.is_empty() {
            return storage.join("voicemail").join(&profile.name).join(domain).join(id);
        }
        let base = Path::new(&profile.storage_dir).join(domain);
        if profile.storage_dir_shared { base.join("voicemail").join(id) } else { base.join(id) }
    }
}

/// A name that came from outside, as one component of a path.
pub(crate) fn component(name: &str) -> String {
    let name = name.replace(['/', '\0'], "_");
    if matches!(name.as_str(), "" | "." | "..") { "_".to_owned() } else { name }
}

/// Finds an owner by id or number alias.
pub(crate) async fn find(
    switch: &Arc<Switch>,
    id: &str,
    domain: &str,
    address: Option<&str>,
    fill: impl Fn(&mut Event),
) -> Option<Owner> {
    let found = xml::find_user_by(switch, "id:number-alias", id, domain, address, fill).await?;
    Some(Owner::new(found.user, domain))
}

/// The id a number alias stands for; the text itself where it stands for none.
pub(crate) async fn resolve_id(
    switch: &Arc<Switch>,
    id: &str,
    domain: &str,
    action: &'static str,
) -> String {
    let fill = |params: &mut Event| {
        params.push("action", action);
    };
    find(switch, id, domain, None, fill).await.map_or_else(|| id.to_owned(), |owner| owner.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tests::profile;

    fn owner(params: &str) -> Owner {
        let text = format!(
            "<document><section name=\"directory\"><domain name=\"d\"><user id=\"1\"><params>{params}</params></user>\
             </domain></section></document>"
        );
        let tree = dialplan_xml::parse_raw(&text, "test").tree.unwrap();
        let directory = dialplan_xml::directory::Directory::compile(&tree);
        Owner::new(directory.find_user("1", "d").unwrap(), "d")
    }

    fn folder(params: &str, of_profile: &str) -> String {
        let folder = owner(params).folder(&profile(of_profile), Path::new("/var/st"));
        folder.to_string_lossy().into_owned()
    }

    #[test]
    fn files_lie_where_user_domain_and_profile_say() {
        assert_eq!(folder("", ""), "/var/st/voicemail/test/d/1");
        let shared = "<param name=\"storage-dir\" value=\"/s\"/>";
        assert_eq!(folder("", shared), "/s/d/1");
        let both = format!("{shared}<param name=\"storage-dir-shared\" value=\"true\"/>");
        assert_eq!(folder("", &both), "/s/d/voicemail/1");
        assert_eq!(folder("<param name=\"vm-storage-dir\" value=\"/own\"/>", &both), "/own");
        assert_eq!(
            folder("<param name=\"vm-storage-dir\" value=\"own\"/>", ""),
            "/var/st/voicemail/own"
        );
        assert_eq!(folder("<param name=\"vm-domain-storage-dir\" value=\"/dom\"/>", ""), "/dom/1");
    }

    #[test]
    fn a_name_is_one_component_of_a_path() {
        assert_eq!(component("../../etc"), ".._.._etc");
        assert_eq!(component(".."), "_");
    }
}
