//! mod_blacklist: lists of numbers in files, asked and changed by a command.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialplan_xml::Node;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;

use crate::conf;

const APIS: &[Api] =
    &[api!("blacklist", "mod_blacklist", "", "Control blacklists", async blacklist)];

const HELP: &str = "blacklist check <listname> <item>\nblacklist add <listname> <item>\n\
     blacklist del <listname> <item>\nblacklist save <listname>\nblacklist reload\nblacklist help\n+OK\n";
const UNKNOWN: &str = "-ERR Unknown blacklist\n";

/// A list and the file it came from.
#[derive(Debug, Default)]
struct List {
    file: PathBuf,
    items: HashSet<String>,
}

#[derive(Default)]
struct Lists(Mutex<BTreeMap<String, List>>);

/// The module.
pub(crate) struct Blacklist;

impl Module for Blacklist {
    fn name(&self) -> &'static str {
        "mod_blacklist"
    }

    fn provides(&self) -> Provides {
        Provides { commands: &[APIS], ..Provides::NOTHING }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("mod_blacklist.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            reload(switch).await;
            Ok(())
        })
    }

    fn unload<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, ()> {
        switch.module::<Lists>().0.lock().clear();
        Box::pin(std::future::ready(()))
    }
}

/// Names and files of the lists.
fn named(conf: Node<'_>) -> Vec<(String, PathBuf)> {
    let lists = conf.child("lists").into_iter().flat_map(|lists| lists.children_named("list"));
    lists
        .filter_map(|list| {
            let (name, file) = (list.attr_or_empty("name"), list.attr_or_empty("filename"));
            if name.is_empty() || file.is_empty() {
                tracing::error!("{}: list [{name}] has no name or no filename", list.place());
                return None;
            }
            Some((name.to_owned(), PathBuf::from(file)))
        })
        .collect()
}

async fn reload(switch: &Arc<Switch>) {
    let Some(named) = conf::with(switch, "mod_blacklist.conf", named).await else { return };
    let mut lists = BTreeMap::new();
    for (name, file) in named {
        match tokio::fs::read_to_string(&file).await {
            Ok(text) => {
                tracing::info!("Loaded list [{name}]");
                lists.insert(name, List { items: items(&text), file });
            }
            Err(error) => {
                let file = file.display();
                tracing::error!("Couldn't open [{file}] to load list [{name}]: {error}");
            }
        }
    }
    *switch.module::<Lists>().0.lock() = lists;
}

fn items(text: &str) -> HashSet<String> {
    text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

async fn blacklist(call: ApiCall) -> String {
    let words = call.words(3);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let lists = call.switch.module::<Lists>();
    match (word(0).to_ascii_lowercase().as_str(), word(1), word(2)) {
        ("check", list, item) if !item.is_empty() => {
            let lists = lists.0.lock();
            let Some(list) = lists.get(list) else {
                tracing::error!("Unknown blacklist [{list}]");
                return "false".into();
            };
            list.items.contains(item).to_string()
        }
        (verb @ ("add" | "del"), list, item) if !item.is_empty() => {
            let mut lists = lists.0.lock();
            let Some(list) = lists.get_mut(list) else { return UNKNOWN.into() };
            match verb {
                "add" => list.items.insert(item.to_owned()),
                _ => list.items.remove(item),
            };
            "+OK\n".into()
        }
        ("save", list, _) if !list.is_empty() => {
            let found = lists.0.lock().get(list).map(|list| (list.file.clone(), text_of(list)));
            let Some((file, text)) = found else { return UNKNOWN.into() };
            match save(&file, &text).await {
                Ok(()) => "+OK\n".into(),
                Err(error) => {
                    tracing::error!("couldn't open {} for writing: {error}", file.display());
                    format!("-ERR {error}\n")
                }
            }
        }
        ("reload", ..) => {
            reload(&call.switch).await;
            "+OK\n".into()
        }
        ("help", ..) => HELP.into(),
        // Too few words: the reference says nothing.
        ("" | "check" | "add" | "del" | "save", ..) => String::new(),
        (other, ..) => format!("-ERR: No such command: {other} (see 'blacklist help')\n"),
    }
}

fn text_of(list: &List) -> String {
    let mut items: Vec<_> = list.items.iter().collect();
    items.sort();
    items.into_iter().map(|item| format!("{item}\n")).collect()
}

/// In one step, so that a list is never half of itself.
async fn save(file: &Path, text: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    tokio::fs::write(&new, text).await?;
    tokio::fs::rename(&new, file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_line_for_each_item() {
        let read = items("100\r\n200\n\n300");
        assert!(read.contains("100") && read.contains("200") && read.contains("300"));
        let list = List { file: PathBuf::new(), items: ["2".into(), "1".into()].into() };
        assert_eq!(text_of(&list), "1\n2\n");
    }
}
