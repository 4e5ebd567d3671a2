//! What the fifos hold: callers by priority, consumers who wait, members who can be called, and who talks to whom.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use switch_core::clock;

use crate::settings::{FifoConf, MANUAL, Strategy};

/// Priorities: 0 comes first.
pub(crate) const PRIORITIES: usize = 10;
/// Callers of one priority at most; one more is not taken.
const MAX_WAITING: usize = 999;

/// An entry of a fifo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A call that waits.
    Call(Arc<str>),
    /// A number to be called back (`fifo_add_outbound`).
    Dial(String),
}

/// A fifo.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) slots: [VecDeque<Waiting>; PRIORITIES],
    /// Consumers with `wait`, in or out of a call.
    pub(crate) consumers: Vec<Arc<str>>,
    pub(crate) importance: i64,
    pub(crate) has_outbound: bool,
    /// 2 for the fifo of manual calls.
    pub(crate) ready: i64,
    pub(crate) is_static: bool,
    pub(crate) per_cycle: i64,
    pub(crate) per_cycle_min: i64,
    pub(crate) priority: i64,
    pub(crate) outbound_name: Option<String>,
    pub(crate) strategy: Strategy,
    pub(crate) ring_timeout: i64,
    pub(crate) default_lag: i64,
    pub(crate) retry_delay: i64,
    /// Calls to members under way.
    pub(crate) ringing: i64,
    /// When the entry was made, µs since the epoch.
    pub(crate) start_waiting: i64,
}

impl Node {
    fn new(name: &str, strategy: Strategy, importance: i64) -> Self {
        Self {
            name: name.to_owned(),
            slots: Default::default(),
            consumers: Vec::new(),
            importance,
            has_outbound: false,
            ready: 1,
            is_static: false,
            per_cycle: 0,
            per_cycle_min: 0,
            priority: 5,
            outbound_name: None,
            strategy,
            ring_timeout: 0,
            default_lag: 0,
            retry_delay: 0,
            ringing: 0,
            start_waiting: 0,
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.slots.iter().map(VecDeque::len).sum()
    }

    /// Takes the first that passes, in that order of priorities. Returns also who moved up, and where to.
    pub(crate) fn pop(
        &mut self,
        order: &[usize],
        passes: impl Fn(&Waiting) -> bool,
    ) -> Option<(Waiting, Vec<(Arc<str>, usize)>)> {
        for slot in order {
            let Some(queue) = self.slots.get_mut(*slot) else { continue };
            let Some(at) = queue.iter().position(&passes) else { continue };
            let popped = queue.remove(at)?;
            let moved = queue.iter().enumerate().skip(at);
            let moved = moved.filter_map(|(place, waiting)| match waiting {
                Waiting::Call(uuid) => Some((Arc::clone(uuid), place + 1)),
                Waiting::Dial(_) => None,
            });
            let moved = moved.collect();
            if self.waiting() == 0 {
                self.start_waiting = 0;
            }
            return Some((popped, moved));
        }
        None
    }
}

/// One who can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) uuid: String,
    pub(crate) fifo: String,
    pub(crate) dial: String,
    pub(crate) simo: i64,
    pub(crate) use_count: i64,
    pub(crate) timeout: i64,
    pub(crate) lag: i64,
    pub(crate) next_avail: i64,
    pub(crate) expires: i64,
    pub(crate) is_static: bool,
    pub(crate) calls: i64,
    pub(crate) fails: i64,
    pub(crate) hostname: String,
    pub(crate) taking_calls: i64,
    pub(crate) status: String,
    pub(crate) calls_total: i64,
    pub(crate) fails_total: i64,
    pub(crate) active_time: i64,
    pub(crate) inactive_time: i64,
    pub(crate) manual_out: i64,
    pub(crate) manual_in: i64,
    pub(crate) manual_out_total: i64,
    pub(crate) manual_in_total: i64,
    pub(crate) ring_count: i64,
    pub(crate) start_time: i64,
    pub(crate) stop_time: i64,
}

/// Two who talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bridge {
    pub(crate) fifo: String,
    pub(crate) caller: String,
    pub(crate) caller_name: String,
    pub(crate) caller_number: String,
    pub(crate) consumer: String,
    pub(crate) outbound: String,
    pub(crate) start: i64,
}

/// All fifos of a switch.
#[derive(Debug, Default)]
pub(crate) struct State {
    nodes: BTreeMap<String, Node>,
    pub(crate) members: Vec<Member>,
    pub(crate) bridges: Vec<Bridge>,
    /// Callers for whom members ring now.
    pub(crate) caller_orig: HashSet<String>,
    /// Members who ring now.
    pub(crate) consumer_orig: HashSet<String>,
    /// Legs and members in calls.
    pub(crate) bridged: HashSet<String>,
    use_counts: HashMap<String, i64>,
    pub(crate) debug: i64,
    pub(crate) strategy: Strategy,
    /// Rows of members changed since they were asked for: uuid and fifo.
    touched: HashSet<(String, String)>,
    bridges_touched: bool,
    callers_touched: bool,
}

impl State {
    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.callers_touched = true;
        self.nodes.get_mut(name)
    }

    /// The fifo of that name, made if there is none.
    pub(crate) fn make(&mut self, name: &str, importance: i64) -> &mut Node {
        let strategy = self.strategy;
        let members = self.members.iter().any(|member| member.fifo == name);
        self.nodes.entry(name.to_owned()).or_insert_with(|| {
            let mut node = Node::new(name, strategy, importance);
            node.has_outbound = members;
            node.ready = if name == MANUAL { 2 } else { 1 };
            node
        })
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Node> {
        self.nodes.remove(name)
    }

    /// In the order of the reference's hash table.
    pub(crate) fn ordered(&self) -> Vec<&Node> {
        let mut all: Vec<_> = self.nodes.values().collect();
        let count = all.len();
        all.sort_by_key(|node| base::hash_order::place(&node.name, count));
        all
    }

    /// Adds an entry to a fifo; its place, or `None` if it is full.
    pub(crate) fn push(&mut self, name: &str, slot: usize, who: Waiting) -> Option<usize> {
        let node = self.node_mut(name)?;
        let slot = slot.min(PRIORITIES - 1);
        if node.slots[slot].len() >= MAX_WAITING {
            return None;
        }
        if node.waiting() == 0 {
            node.start_waiting = clock::now_us();
        }
        node.slots[slot].push_back(who);
        Some(node.slots[slot].len())
    }

    /// Takes a caller out, wherever it waits; who moved up.
    pub(crate) fn take_out(&mut self, name: &str, uuid: &str) -> Vec<(Arc<str>, usize)> {
        const ORDER: [usize; PRIORITIES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
        let Some(node) = self.node_mut(name) else { return Vec::new() };
        let popped =
            node.pop(&ORDER, |waiting| matches!(waiting, Waiting::Call(own) if **own == *uuid));
        popped.map(|(_, moved)| moved).unwrap_or_default()
    }

    pub(crate) fn configure(&mut self, conf: &FifoConf, hostname: &str) {
        let node = self.make(&conf.name, conf.importance);
        if conf.outbound_name.is_some() {
            node.outbound_name.clone_from(&conf.outbound_name);
        }
        if let Some(strategy) = conf.strategy {
            node.strategy = strategy;
        }
        node.has_outbound |= conf.for_members || !conf.members.is_empty();
        (node.per_cycle, node.per_cycle_min) = (conf.per_cycle, conf.per_cycle_min);
        (node.retry_delay, node.priority) = (conf.retry_delay, conf.priority);
        (node.ring_timeout, node.default_lag) = (conf.ring_timeout, conf.default_lag);
        (node.ready, node.is_static) = (1, true);
        for member in &conf.members {
            self.add_member(Member {
                simo: member.simo,
                timeout: member.timeout,
                lag: member.lag,
                taking_calls: member.taking_calls,
                is_static: true,
                ..Member::new(&conf.name, &member.dial, hostname)
            });
        }
    }

    /// Adds a member, in place of one of the same identity.
    pub(crate) fn add_member(&mut self, member: Member) {
        self.members.retain(|other| (&other.uuid, &other.fifo) != (&member.uuid, &member.fifo));
        self.touched.insert((member.uuid.clone(), member.fifo.clone()));
        self.make(&member.fifo, 0).has_outbound = true;
        self.members.push(member);
    }

    /// Forgets a member, if there is one; the fifo exists from then on.
    pub(crate) fn delete_member(&mut self, fifo: &str, uuid: &str) {
        self.members.retain(|member| member.uuid != uuid || member.fifo != fifo);
        self.touched.insert((uuid.to_owned(), fifo.to_owned()));
        let left = self.member_count(fifo) > 0;
        self.make(fifo, 0).has_outbound = left;
    }

    /// Forgets members: those of the file, or all.
    pub(crate) fn delete_members(&mut self, all: bool) {
        let gone = self.members.iter().filter(|member| all || member.is_static);
        self.touched.extend(gone.map(|member| (member.uuid.clone(), member.fifo.clone())));
        self.members.retain(|member| !all && !member.is_static);
    }

    pub(crate) fn member_count(&self, fifo: &str) -> usize {
        self.members.iter().filter(|member| member.fifo == fifo).count()
    }

    /// Changes all rows of a member, in whichever fifos.
    pub(crate) fn change_members(&mut self, uuid: &str, change: impl Fn(&mut Member)) {
        for member in self.members.iter_mut().filter(|member| member.uuid == uuid) {
            change(member);
            self.touched.insert((member.uuid.clone(), member.fifo.clone()));
        }
    }

    pub(crate) fn use_count(&self, outbound: &str) -> i64 {
        self.use_counts.get(outbound).copied().unwrap_or(0)
    }

    /// One call of a member more.
    pub(crate) fn begin_use(&mut self, outbound: &str) {
        self.bridged.insert(outbound.to_owned());
        *self.use_counts.entry(outbound.to_owned()).or_default() += 1;
    }

    /// One less.
    pub(crate) fn end_use(&mut self, outbound: &str) {
        self.bridged.remove(outbound);
        if let Some(count) = self.use_counts.get_mut(outbound) {
            *count -= 1;
            if *count <= 0 {
                self.use_counts.remove(outbound);
            }
        }
    }

    pub(crate) fn add_bridge(&mut self, bridge: Bridge) {
        self.bridges_touched = true;
        self.bridges.push(bridge);
    }

    pub(crate) fn end_bridge(&mut self, consumer: &str) {
        self.bridges_touched = true;
        self.bridges.retain(|bridge| bridge.consumer != consumer);
    }

    /// What has changed: members (there, or gone), whether bridges have, whether callers have.
    pub(crate) fn changes(&mut self) -> (Vec<(String, String, Option<Member>)>, bool, bool) {
        let touched = std::mem::take(&mut self.touched);
        let row = |(uuid, fifo): (String, String)| {
            let member = self.members.iter().find(|m| m.uuid == uuid && m.fifo == fifo).cloned();
            (uuid, fifo, member)
        };
        let members = touched.into_iter().map(row).collect();
        let bridges = std::mem::take(&mut self.bridges_touched);
        (members, bridges, std::mem::take(&mut self.callers_touched))
    }

    /// Callers who wait: fifo and leg.
    pub(crate) fn callers(&self) -> Vec<(String, Arc<str>)> {
        let of_node = |node: &Node| {
            let name = node.name.clone();
            let calls = node.slots.iter().flatten().filter_map(|waiting| match waiting {
                Waiting::Call(uuid) => Some(Arc::clone(uuid)),
                Waiting::Dial(_) => None,
            });
            calls.map(|uuid| (name.clone(), uuid)).collect::<Vec<_>>()
        };
        self.nodes.values().flat_map(of_node).collect()
    }
}

impl Member {
    /// A member with usual values.
    pub(crate) fn new(fifo: &str, dial: &str, hostname: &str) -> Self {
        Self {
            uuid: identity(dial),
            fifo: fifo.to_owned(),
            dial: dial.to_owned(),
            simo: 1,
            use_count: 0,
            timeout: 60,
            lag: 5,
            next_avail: 0,
            expires: 0,
            is_static: false,
            calls: 0,
            fails: 0,
            hostname: hostname.to_owned(),
            taking_calls: 1,
            status: String::new(),
            calls_total: 0,
            fails_total: 0,
            active_time: clock::now_secs(),
            inactive_time: 0,
            manual_out: 0,
            manual_in: 0,
            manual_out_total: 0,
            manual_in_total: 0,
            ring_count: 0,
            start_time: 0,
            stop_time: 0,
        }
    }
}

/// Who a dial string stands for: its `fifo_outbound_uuid`, or the MD5 sum of all of it.
pub(crate) fn identity(dial: &str) -> String {
    use md5::{Digest as _, Md5};
    const NAME: &str = "fifo_outbound_uuid=";
    if let Some(at) = dial.to_ascii_lowercase().find(NAME) {
        let rest = &dial[at + NAME.len()..];
        let rest = rest.strip_prefix('\'').unwrap_or(rest);
        let end = rest.find([',', '}', ']', '\'']).unwrap_or(rest.len());
        return rest[..end].to_owned();
    }
    Md5::digest(dial.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(uuid: &str) -> Waiting {
        Waiting::Call(uuid.into())
    }

    #[test]
    fn callers_come_out_by_priority_and_move_up() {
        let mut state = State::default();
        state.make("q", 0);
        for (uuid, slot) in [("a", 5), ("b", 5), ("c", 5), ("first", 0)] {
            state.push("q", slot, call(uuid));
        }
        let order: Vec<usize> = (0..PRIORITIES).collect();
        let node = state.node_mut("q").unwrap();
        assert_eq!(node.pop(&order, |_| true).unwrap().0, call("first"));
        let (popped, moved) = node.pop(&order, |w| *w == call("b")).unwrap();
        assert_eq!((popped, moved), (call("b"), vec![("c".into(), 2)]));
        assert_eq!(state.take_out("q", "a"), [("c".into(), 1)]);
        assert_eq!(state.node("q").unwrap().waiting(), 1);
    }

    #[test]
    fn a_fifo_takes_no_more_than_its_share() {
        let mut state = State::default();
        state.make("q", 0);
        let taken =
            (0..1500).filter(|n| state.push("q", 0, call(&n.to_string())).is_some()).count();
        assert_eq!(taken, MAX_WAITING);
    }

    #[test]
    fn a_member_is_known_by_its_own_name_or_its_dial_string() {
        assert_eq!(identity("user/4101@office.test").len(), 32);
        assert_eq!(identity("{a=b,fifo_outbound_uuid=me,c=d}user/1"), "me");
        assert_eq!(identity("{fifo_outbound_uuid='it is'}user/1"), "it is");
        assert_eq!(identity("{fifo_outbound_uuid=unclosed"), "unclosed");
    }
}
