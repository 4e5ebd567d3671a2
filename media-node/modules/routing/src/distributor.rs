//! mod_distributor: spreads calls over nodes by weight.

use std::sync::Arc;

use dialplan_xml::Node;
use parking_lot::Mutex;
use switch_core::BoxFuture;
use switch_core::api;
use switch_core::api::{Api, ApiCall};
use switch_core::app;
use switch_core::app::{App, Flags};
use switch_core::call::{AppResult, Session};
use switch_core::contract::declare::{Variable, sets};
use switch_core::contract::{Module, NotLoaded, Provides};
use switch_core::switch::Switch;
use switch_core::text;

use crate::conf;

const APPS: &[App] = &[app!(
    "distributor",
    "mod_distributor",
    Flags::NO_MEDIA.and(Flags::ROUTING),
    "<list name>[ <exception1> <exceptionN>]",
    "Distributor APP",
    run
)];
const APIS: &[Api] = &[
    api!(
        "distributor",
        "mod_distributor",
        "<list name>[ <exception1> <exceptionN>]",
        "Distributor API",
        choose
    ),
    api!("distributor_ctl", "mod_distributor", "[reload]", "Distributor API", async control),
];
const VARIABLES: &[Variable] = &[sets("DISTRIBUTOR", "The node that is to take the call")];

/// Nodes that are not to be chosen, in one question.
const MAX_EXCEPTIONS: usize = 99;
/// Rounds in search of a node.
const MAX_ROUNDS: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Spot {
    name: String,
    weight: i64,
    /// Grows with each choice; when it is the sum of all weights the node has had its turns.
    taken: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    name: String,
    nodes: Vec<Spot>,
    total: i64,
    /// The place of the node chosen last.
    last: Option<usize>,
}

#[derive(Default)]
struct Lists(Mutex<Vec<List>>);

impl List {
    fn read(node: Node<'_>) -> Option<Self> {
        let name = node.attr("name").filter(|name| !name.is_empty());
        let Some(name) = name else {
            tracing::error!("{}: Missing NAME!", node.place());
            return None;
        };
        if node.attr("total-weight").is_some_and(|weight| !weight.is_empty()) {
            tracing::warn!("The total-weight attribute is no longer necessary.");
        }
        let nodes = node.children_named("node").filter_map(|node| {
            let weight = text::int(node.attr_or_empty("weight"));
            if weight < 1 {
                tracing::warn!("{}: Weight {weight} value incorrect, must be > 0", node.place());
                return None;
            }
            Some(Spot { name: node.attr_or_empty("name").to_owned(), weight, taken: 0 })
        });
        let mut list = Self { name: name.to_owned(), nodes: nodes.collect(), ..Self::default() };
        list.reset();
        Some(list)
    }

    fn reset(&mut self) {
        self.total = self.nodes.iter().map(|node| node.weight).sum();
        for node in &mut self.nodes {
            node.taken = self.total - node.weight;
        }
        self.last = None;
    }

    /// The next node in turn that is no exception.
    fn next(&mut self, exceptions: &[String]) -> Option<String> {
        for _ in 0..MAX_ROUNDS {
            let from = self.last.map_or(0, |last| last + 1);
            let total = self.total;
            let free = |node: &Spot| node.taken < total;
            let left = self.nodes.iter().filter(|node| free(node)).count();
            let found = self.nodes.iter().enumerate().skip(from).find(|(_, node)| free(node));
            match found.map(|(index, _)| index) {
                Some(index) => {
                    self.last = Some(index);
                    let node = self.nodes.get_mut(index)?;
                    node.taken += 1;
                    if !exceptions.contains(&node.name) {
                        return Some(node.name.clone());
                    }
                    if left == 1 {
                        self.reset();
                    }
                }
                None if left > 0 => self.last = None,
                None => self.reset(),
            }
        }
        None
    }

    fn dump(&self) -> String {
        let mut text = format!("list: name={}\n", self.name);
        for node in &self.nodes {
            text.push_str(&format!("node: name={} weight={}\n", node.name, node.weight));
        }
        text
    }
}

/// The module.
pub(crate) struct Distributor;

impl Module for Distributor {
    fn name(&self) -> &'static str {
        "mod_distributor"
    }

    fn provides(&self) -> Provides {
        Provides {
            applications: &[APPS],
            commands: &[APIS],
            variables: &[VARIABLES],
            ..Provides::NOTHING
        }
    }

    fn is_default(&self, switch: &Switch) -> bool {
        switch.config.load().document("distributor.conf").is_some()
    }

    fn load<'a>(&'a self, switch: &'a Arc<Switch>) -> BoxFuture<'a, Result<(), NotLoaded>> {
        Box::pin(async move {
            reload(switch).await;
            Ok(())
        })
    }
}

/// Reads the lists anew; what cannot be read leaves them as they are.
async fn reload(switch: &Arc<Switch>) -> bool {
    let read = |conf: Node<'_>| -> Vec<List> {
        let lists = conf.child("lists").into_iter().flat_map(|lists| lists.children_named("list"));
        lists.filter_map(List::read).collect()
    };
    let lists = conf::with(switch, "distributor.conf", read).await.unwrap_or_default();
    if lists.is_empty() {
        tracing::error!("Can't find any lists!");
        return false;
    }
    *switch.module::<Lists>().0.lock() = lists;
    true
}

/// The node for `list [exception …]`.
fn node_for(switch: &Switch, argument: &str) -> Option<String> {
    let mut words = text::words(argument, MAX_EXCEPTIONS + 1);
    if words.is_empty() {
        return None;
    }
    let name = words.remove(0);
    let lists = switch.module::<Lists>();
    let mut lists = lists.0.lock();
    lists.iter_mut().find(|list| list.name.eq_ignore_ascii_case(&name))?.next(&words)
}

async fn run(session: &mut Session, argument: &str) -> AppResult {
    if argument.is_empty() {
        tracing::warn!("distributor requires an argument");
    } else if let Some(node) = node_for(session.switch(), argument) {
        session.channel().set_var("DISTRIBUTOR", node);
    }
    Ok(())
}

fn choose(call: &ApiCall) -> String {
    node_for(&call.switch, &call.marked).unwrap_or_else(|| "-err".into())
}

async fn control(call: ApiCall) -> String {
    let words = call.words(50);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let lists = call.switch.module::<Lists>();
    match word(0).to_ascii_lowercase().as_str() {
        "reload" => match reload(&call.switch).await {
            true => "+OK reloaded.\n".into(),
            false => "-error\n".into(),
        },
        "dump" | "modify" if word(1).is_empty() => "missing list name\n".into(),
        verb @ ("dump" | "modify") => {
            let mut lists = lists.0.lock();
            let found = lists.iter_mut().find(|list| list.name.eq_ignore_ascii_case(word(1)));
            let Some(list) = found else { return "cannot find list\n".into() };
            let said = match verb {
                "modify" => modify(list, words.get(2..).unwrap_or_default()),
                _ => String::new(),
            };
            format!("{said}{}", list.dump())
        }
        _ => "-error\n".into(),
    }
}

/// `node=weight …`; what cannot be done is said.
fn modify(list: &mut List, changes: &[String]) -> String {
    let mut said = String::new();
    for (name, weight) in changes.iter().filter_map(|change| change.split_once('=')) {
        let Some(node) = list.nodes.iter_mut().find(|node| node.name.eq_ignore_ascii_case(name))
        else {
            said.push_str(&format!("error: node {name} not found\n"));
            continue;
        };
        match text::int(weight) {
            weight if weight > 0 => node.weight = weight,
            _ => {
                said.push_str(&format!("error: name={}, specified weight invalid\n", node.name));
            }
        }
    }
    list.reset();
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(nodes: &[(&str, i64)]) -> List {
        let spot = |(name, weight): &(&str, i64)| Spot {
            name: (*name).to_owned(),
            weight: *weight,
            taken: 0,
        };
        let mut list =
            List { name: "l".into(), nodes: nodes.iter().map(spot).collect(), ..List::default() };
        list.reset();
        list
    }

    fn turns(list: &mut List, count: usize, exceptions: &[&str]) -> String {
        let exceptions: Vec<String> = exceptions.iter().map(|name| (*name).to_owned()).collect();
        (0..count).map(|_| list.next(&exceptions).unwrap_or_else(|| "-".into())).collect()
    }

    #[test]
    fn nodes_take_turns_by_weight() {
        let mut one = list(&[("a", 1), ("b", 3)]);
        let said = turns(&mut one, 8, &[]);
        assert_eq!(said.matches('a').count(), 2, "{said}");
        assert_eq!(said.matches('b').count(), 6, "{said}");
        assert!(said.starts_with("ab"), "{said}");
    }

    #[test]
    fn exceptions_are_passed_over_and_may_leave_nobody() {
        let mut one = list(&[("a", 1), ("b", 1)]);
        assert_eq!(turns(&mut one, 4, &["a"]), "bbbb");
        assert_eq!(turns(&mut one, 1, &["a", "b"]), "-");
        assert_eq!(turns(&mut list(&[]), 1, &[]), "-");
    }

    #[test]
    fn weights_are_changed_by_name_and_mistakes_said() {
        let mut one = list(&[("a", 1), ("b", 1)]);
        let said = modify(&mut one, &["A=5".into(), "c=1".into(), "b=0".into()]);
        assert_eq!(said, "error: node c not found\nerror: name=b, specified weight invalid\n");
        assert_eq!(one.dump(), "list: name=l\nnode: name=a weight=5\nnode: name=b weight=1\n");
    }
}
