//! A simulated day, seeded: callers come, wait, give up and come again; agents log in, answer, refuse, miss and leave at the
//! worst moment; queues change their strategy and are loaded anew. No caller is lost, and none is offered twice.

use std::collections::{BTreeMap, HashMap};

use super::*;

const AGENTS: usize = 20;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }
}

const STRATEGIES: &[&str] = &[
    "longest-idle-agent",
    "round-robin",
    "top-down",
    "agent-with-least-talk-time",
    "agent-with-fewest-calls",
    "sequentially-by-agent-order",
    "random",
    "ring-all",
    "ring-progressively",
];

/// Where a caller is, as the world outside knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waits,
    Talks(OfferId),
    Served,
    GaveUp,
    Sent(CancelReason),
}

/// Where an offer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Rings { until: Epoch },
    Talks { until: Epoch },
}

struct Live {
    offer: Offer,
    stage: Stage,
}

struct Day {
    center: Dispatcher,
    dice: Dice,
    now: Epoch,
    /// Callers who wait or talk.
    fates: HashMap<Arc<str>, Fate>,
    /// Those who do no more: how it ended, and how many there were of each kind.
    ended: HashMap<Arc<str>, Fate>,
    served: usize,
    offers: BTreeMap<OfferId, Live>,
    joined: usize,
    open: bool,
}

impl Day {
    fn new(seed: u64, agents: usize) -> Self {
        let mut day = Self {
            center: Dispatcher::new(
                Setup { reserve_agents: seed.is_multiple_of(2), ..Setup::default() },
                seed,
            ),
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now: 1_720_000_000,
            fates: HashMap::new(),
            ended: HashMap::new(),
            served: 0,
            offers: BTreeMap::new(),
            joined: 0,
            open: true,
        };
        for at in 0..STRATEGIES.len() {
            day.load(at);
        }
        for at in 0..agents {
            let name = format!("a{at}");
            day.center.add_agent(&name, "callback").unwrap();
            for (key, value) in [
                (AgentKey::Status, "Available"),
                (AgentKey::WrapUp, "5"),
                (AgentKey::RejectDelay, "3"),
                (AgentKey::BusyDelay, "7"),
                (AgentKey::NoAnswerDelay, "9"),
                (AgentKey::MaxNoAnswer, "4"),
            ] {
                day.center.set_agent(key, &name, value, day.now).unwrap();
            }
            for turn in 0..3 {
                let queue = format!("q{}", (at + turn * 2) % STRATEGIES.len());
                let (level, position) = (1 + (at % 3) as i64, 1 + (at % 7) as i64);
                let _twice = day.center.add_tier(&queue, &name, level, position);
            }
        }
        day
    }

    fn load(&mut self, at: usize) {
        let mut strategy = STRATEGIES[at];
        if self.dice.once_in(3) {
            strategy = STRATEGIES[self.dice.roll(STRATEGIES.len() as u64) as usize];
        }
        let settings = QueueSettings {
            strategy: strategy.to_owned(),
            max_wait_time: if at == 3 { 40 } else { 0 },
            max_wait_time_with_no_agent: if at == 4 { 30 } else { 0 },
            tier_rules_apply: at.is_multiple_of(2),
            tier_rule_wait_second: 10,
            tier_rule_wait_multiply_level: at.is_multiple_of(4),
            abandoned_resume_allowed: at % 2 == 1,
            discard_abandoned_after: 120,
            ring_progressively_delay: 4,
            ..QueueSettings::default()
        };
        self.center.load_queue(Queue::new(&format!("q{at}"), settings));
    }

    fn caller_comes(&mut self) {
        let queue = format!("q{}", self.dice.roll(STRATEGIES.len() as u64));
        let number = format!("{}", self.dice.roll(40));
        self.joined += 1;
        let session = format!("s{}", self.joined);
        if let Some(uuid) = self.center.resume(&queue, &number, &session, self.now) {
            assert!(matches!(self.ended.remove(&uuid), Some(Fate::GaveUp | Fate::Sent(_))));
            assert_eq!(self.fates.insert(uuid, Fate::Waits), None);
            return;
        }
        let uuid = format!("m{}", self.joined);
        let mut member = self.center.caller(&queue, &uuid, &session, self.now);
        member.cid_number = number;
        member.base_score = self.dice.roll(20) as i64;
        self.center.join(member, self.now);
        self.fates.insert(uuid.as_str().into(), Fate::Waits);
    }

    fn waiting(&mut self) -> Option<Arc<str>> {
        let mut waiting: Vec<_> =
            self.fates.iter().filter(|(_, fate)| **fate == Fate::Waits).map(|(u, _)| u).collect();
        waiting.sort();
        if waiting.is_empty() {
            return None;
        }
        Some(Arc::clone(waiting[self.dice.roll(waiting.len() as u64) as usize]))
    }

    fn caller_gives_up(&mut self) {
        if let Some(uuid) = self.waiting() {
            self.center.leave(&uuid, self.now);
            self.ends(&uuid, Fate::GaveUp);
        }
    }

    fn administrate(&mut self) {
        let agent = format!("a{}", self.dice.roll(AGENTS as u64));
        let status = ["Available", "On Break", "Logged Out", "Available (On Demand)", "Available"]
            [self.dice.roll(5) as usize];
        self.center.set_agent(AgentKey::Status, &agent, status, self.now).unwrap();
        let idle = self.center.agent(&agent).unwrap().state == AgentState::Idle;
        if idle {
            self.center.set_agent(AgentKey::State, &agent, "Waiting", self.now).unwrap();
        }
        if self.dice.once_in(10) {
            let at = self.dice.roll(STRATEGIES.len() as u64) as usize;
            if self.dice.once_in(2) {
                self.center.unload_queue(&format!("q{at}"));
            }
            self.load(at);
        }
    }

    /// Does what the dispatcher asks for, and checks that it may ask for it.
    fn carry_out(&mut self) {
        for output in self.center.outputs() {
            match output {
                Output::Offer(offer) => self.called(*offer),
                Output::Cancel(uuid, reason) => {
                    assert_eq!(self.fates.get(&uuid), Some(&Fate::Waits), "{uuid} {reason:?}");
                    self.center.leave(&uuid, self.now);
                    self.ends(&uuid, Fate::Sent(reason));
                }
                Output::HangUpCalled(uuid, _) => {
                    // Phones that ring for the caller stop a moment later.
                    for live in self.offers.values_mut() {
                        if live.offer.member.uuid == uuid
                            && matches!(live.stage, Stage::Rings { .. })
                        {
                            live.stage = Stage::Rings { until: self.now };
                        }
                    }
                }
                Output::LoadQueue(name) => {
                    let at: usize = name[1..].parse().unwrap();
                    self.load(at);
                }
                Output::Notice(_) | Output::Announce(..) | Output::ForgetTier(_) => {}
            }
        }
    }

    fn called(&mut self, offer: Offer) {
        let uuid = &offer.member.uuid;
        assert_eq!(self.fates.get(uuid), Some(&Fate::Waits), "{uuid} is offered and does not wait");
        let several = offer.strategy.rings_several().is_some();
        for live in self.offers.values() {
            assert_ne!(live.offer.agent.name, offer.agent.name, "an agent has two offers");
            let same = live.offer.member.uuid == *uuid;
            assert!(!same || several, "{uuid} is offered twice");
            // Those who are called together, or who just stopped ringing; none that talks.
            assert!(!same || matches!(live.stage, Stage::Rings { .. }));
        }
        let until = self.now + self.dice.roll(25) as i64;
        self.offers.insert(offer.id, Live { offer, stage: Stage::Rings { until } });
    }

    fn offers_go_on(&mut self) {
        let ids: Vec<_> = self.offers.keys().copied().collect();
        for id in ids {
            let Some(live) = self.offers.get(&id) else { continue };
            match live.stage {
                Stage::Rings { until } if until <= self.now => self.ringing_ends(id),
                Stage::Talks { until } if until <= self.now => {
                    let uuid = Arc::clone(&live.offer.member.uuid);
                    self.center.ended(id, self.now);
                    self.over(id, true, false);
                    assert_eq!(self.fates.get(&uuid), Some(&Fate::Talks(id)));
                    assert!(self.center.member(&uuid).is_none());
                    self.served += 1;
                    self.ends(&uuid, Fate::Served);
                }
                _ => {}
            }
        }
    }

    fn ringing_ends(&mut self, id: OfferId) {
        let uuid = Arc::clone(&self.offers[&id].offer.member.uuid);
        let waits = self.fates.get(&uuid) == Some(&Fate::Waits);
        let misses = [Miss::NoAnswer, Miss::Busy, Miss::Rejected, Miss::NotRegistered];
        match self.dice.roll(10) {
            // The caller left while the agent was being reached.
            _ if !waits && self.dice.once_in(2) => {
                self.center.failed(id, Miss::Called, self.now);
                self.over(id, false, false);
            }
            0..=3 => {
                let miss = misses[self.dice.roll(4) as usize];
                self.center.failed(id, miss, self.now);
                self.over(id, false, miss == Miss::NoAnswer);
            }
            roll => self.agent_answers(id, &uuid, waits, roll == 4),
        }
    }

    fn agent_answers(&mut self, id: OfferId, uuid: &Arc<str>, waits: bool, agent_leaves: bool) {
        if self.center.answered(id) == Answered::Lost {
            return self.over(id, false, false);
        }
        self.carry_out();
        if !waits {
            self.center.not_bridged(id, Failure::CallerGone, self.now);
            self.over(id, false, false);
        } else if agent_leaves {
            self.center.not_bridged(id, Failure::AgentGone, self.now);
            self.over(id, false, false);
        } else {
            self.center.bridged(id, "leg", self.now);
            let until = self.now + 5 + self.dice.roll(180) as i64;
            let before = self.fates.insert(Arc::clone(uuid), Fate::Talks(id));
            assert_eq!(before, Some(Fate::Waits), "{uuid} is bridged and did not wait");
            if let Some(live) = self.offers.get_mut(&id) {
                live.stage = Stage::Talks { until };
            }
        }
    }

    fn over(&mut self, id: OfferId, bridged: bool, missed: bool) {
        self.center.release(id, bridged, missed);
        self.offers.remove(&id);
    }

    fn second(&mut self) {
        self.now += 1;
        if self.open && self.dice.once_in(16) {
            self.caller_comes();
        }
        if self.dice.once_in(60) {
            self.caller_gives_up();
        }
        if self.dice.once_in(30) {
            self.administrate();
        }
        self.carry_out();
        self.offers_go_on();
        self.carry_out();
        self.center.tick(self.now);
        self.carry_out();
        self.center.watch(self.now);
        self.carry_out();
        // Offers are checked one by one as they are made; the whole now and then.
        if self.now % 30 == 0 {
            self.check();
        }
    }

    fn ends(&mut self, uuid: &Arc<str>, how: Fate) {
        self.fates.remove(uuid);
        assert_eq!(self.ended.insert(Arc::clone(uuid), how), None, "{uuid} ends twice");
    }

    /// The dispatcher knows of each caller what the world outside does.
    fn check(&self) {
        for (uuid, fate) in &self.fates {
            let state = self.center.member(uuid).map(|member| member.state);
            if *fate == Fate::Waits {
                assert!(
                    matches!(state, Some(MemberState::Waiting | MemberState::Trying)),
                    "{uuid} waits outside and is {state:?}"
                );
            } else {
                assert_eq!(state, Some(MemberState::Answered), "{uuid}");
            }
        }
        // Only callers whose place is kept remain.
        for member in self.center.members() {
            let kept = member.state == MemberState::Abandoned;
            assert_ne!(kept, self.fates.contains_key(&member.uuid), "{}", member.uuid);
        }
        assert_eq!(self.center.offers_under_way(), self.offers.len());
        for agent in self.center.agents() {
            let offers = self.offers.values().filter(|live| live.offer.agent.name == agent.name);
            assert!(offers.count() <= 1);
        }
    }

    /// No more callers come, and all agents are there: every waiting caller is served or sent on.
    fn close(&mut self) {
        self.open = false;
        for at in 0..AGENTS {
            let name = format!("a{at}");
            self.center.set_agent(AgentKey::Status, &name, "Available", self.now).unwrap();
        }
        for _ in 0..20_000 {
            for at in 0..AGENTS {
                let name = format!("a{at}");
                let agent = self.center.agent(&name).unwrap();
                if agent.status != Status::Available {
                    self.center.set_agent(AgentKey::Status, &name, "Available", self.now).unwrap();
                }
                if agent_idles(&self.center, &name) {
                    self.center.set_agent(AgentKey::State, &name, "Waiting", self.now).unwrap();
                }
            }
            self.now += 1;
            self.offers_go_on();
            self.carry_out();
            self.center.tick(self.now);
            self.carry_out();
            if self.fates.is_empty() {
                return;
            }
        }
        panic!("callers wait without end: {:?}", self.fates);
    }
}

fn agent_idles(center: &Dispatcher, name: &str) -> bool {
    center.agent(name).is_some_and(|agent| agent.state == AgentState::Idle)
}

fn simulate(seed: u64, seconds: u64) -> (usize, usize) {
    let mut day = Day::new(seed, AGENTS);
    for _ in 0..seconds {
        day.second();
    }
    day.close();
    // Places of those who gave up are forgotten in the end, and then nothing is left.
    day.now += 1000;
    day.center.tick(day.now);
    assert_eq!(day.center.members().count(), 0, "seed {seed}");
    assert_eq!(day.center.offers_under_way(), 0, "seed {seed}");
    assert!(
        day.center.tiers().all(|tier| matches!(tier.state, TierState::Ready | TierState::NoAnswer))
    );
    (day.joined, day.served)
}

#[test]
fn through_a_day_no_caller_is_lost_and_none_offered_twice() {
    let (came, served) = simulate(20_261_129, 86_400);
    // A day without a served caller would prove nothing.
    assert!(came > 4_000 && served > came / 4, "{served} of {came}");
}

#[test]
fn nor_in_any_other_hour() {
    let seeds = std::env::var("FERRO_EXPLORE").unwrap_or_else(|_| "0-20".to_owned());
    let (from, to) = seeds.split_once('-').unwrap();
    for seed in from.parse::<u64>().unwrap()..to.parse().unwrap() {
        simulate(seed, 900);
    }
}

// ---- each strategy ----

fn center(strategy: &str) -> Dispatcher {
    let mut center = Dispatcher::new(Setup::default(), 7);
    let settings = QueueSettings { strategy: strategy.to_owned(), ..QueueSettings::default() };
    center.load_queue(Queue::new("q", settings));
    for (at, name) in ["ann", "ben", "cem"].into_iter().enumerate() {
        center.add_agent(name, "callback").unwrap();
        center.set_agent(AgentKey::Status, name, "Available", 0).unwrap();
        center.add_tier("q", name, 1, at as i64 + 1).unwrap();
    }
    center.outputs();
    center
}

fn offered(center: &mut Dispatcher, now: Epoch) -> Vec<(String, String, OfferId)> {
    center.tick(now);
    let offers = center.outputs().into_iter().filter_map(|output| match output {
        Output::Offer(offer) => {
            Some((offer.member.uuid.to_string(), offer.agent.name.to_string(), offer.id))
        }
        _ => None,
    });
    offers.collect()
}

fn comes(center: &mut Dispatcher, uuid: &str, now: Epoch) {
    let member = center.caller("q", uuid, uuid, now);
    center.join(member, now);
}

/// Serves callers one after the other, ten seconds each; who took them.
fn in_turn(strategy: &str, callers: usize) -> Vec<String> {
    let mut center = center(strategy);
    let mut now = 100;
    let mut took = Vec::new();
    for at in 0..callers {
        comes(&mut center, &format!("m{at}"), now);
        let offers = offered(&mut center, now);
        let [(_, agent, id)] = offers.as_slice() else { panic!("{offers:?}") };
        took.push(agent.clone());
        assert_eq!(center.answered(*id), Answered::Won);
        center.bridged(*id, "leg", now);
        now += 10 + at as i64;
        center.ended(*id, now);
        center.release(*id, true, false);
        now += 1;
    }
    took
}

#[test]
fn each_strategy_takes_the_agents_in_its_own_order() {
    assert_eq!(in_turn("longest-idle-agent", 4), ["ann", "ben", "cem", "ann"]);
    assert_eq!(in_turn("round-robin", 5), ["ann", "ben", "cem", "ann", "ben"]);
    assert_eq!(in_turn("agent-with-fewest-calls", 4), ["ann", "ben", "cem", "ann"]);
    assert_eq!(in_turn("agent-with-least-talk-time", 4), ["ann", "ben", "cem", "ann"]);
    assert_eq!(in_turn("sequentially-by-agent-order", 3), ["ann", "ann", "ann"]);
    assert_eq!(in_turn("top-down", 3), ["ann", "ann", "ann"]);
}

#[test]
fn top_down_goes_on_behind_the_agent_tried_last_and_begins_anew_when_none_is_left() {
    let mut center = center("top-down");
    comes(&mut center, "m", 100);
    let mut tried = Vec::new();
    for now in 100..108 {
        for (_, agent, id) in offered(&mut center, now) {
            tried.push(agent);
            center.failed(id, Miss::Busy, now);
            center.release(id, false, false);
        }
    }
    assert_eq!(&tried[..4], ["ann", "ben", "cem", "ann"]);
}

#[test]
fn top_down_begins_anew_when_those_behind_cannot_take_the_call() {
    let mut center = center("top-down");
    for away in ["ben", "cem"] {
        center.set_agent(AgentKey::Status, away, "On Break", 0).unwrap();
    }
    comes(&mut center, "m", 100);
    let mut tried = Vec::new();
    for now in 100..108 {
        for (_, agent, id) in offered(&mut center, now) {
            tried.push(agent);
            center.failed(id, Miss::Busy, now);
            center.release(id, false, false);
        }
    }
    assert!(tried.len() > 1, "ann is asked again: {tried:?}");
    assert!(tried.iter().all(|agent| agent == "ann"));
}

#[test]
fn ring_all_calls_everybody_and_the_first_to_answer_has_the_caller() {
    let mut center = center("ring-all");
    comes(&mut center, "m", 100);
    let offers = offered(&mut center, 100);
    let agents: Vec<_> = offers.iter().map(|(_, agent, _)| agent.as_str()).collect();
    assert_eq!(agents, ["ann", "ben", "cem"]);
    assert_eq!(center.answered(offers[1].2), Answered::Won);
    assert_eq!(center.outputs(), [Output::HangUpCalled("m".into(), true)]);
    assert_eq!(center.answered(offers[0].2), Answered::Lost);
    center.bridged(offers[1].2, "leg", 101);
    for lost in [offers[0].2, offers[2].2] {
        center.failed(lost, Miss::Called, 101);
        center.release(lost, false, false);
    }
    let member = center.member("m").unwrap();
    assert_eq!((&*member.serving_agent, member.state), ("ben", MemberState::Answered));
    assert!(offered(&mut center, 102).is_empty());
}

#[test]
fn ring_progressively_calls_one_more_after_each_delay() {
    let mut center = center("ring-progressively");
    comes(&mut center, "m", 100);
    let called: Vec<_> = (100..135)
        .flat_map(|now| offered(&mut center, now).into_iter().map(move |(_, a, _)| (now, a)))
        .collect();
    let wanted = [(100, "ann"), (110, "ben"), (120, "cem")].map(|(now, a)| (now, a.to_owned()));
    assert_eq!(called, wanted);
}

#[test]
fn a_caller_with_a_better_score_comes_first() {
    let mut center = center("longest-idle-agent");
    for name in ["ben", "cem"] {
        center.set_agent(AgentKey::Status, name, "On Break", 0).unwrap();
    }
    comes(&mut center, "early", 100);
    let mut member = center.caller("q", "better", "better", 101);
    member.base_score = 5;
    center.join(member, 101);
    assert_eq!(offered(&mut center, 101)[0].0, "better");
}

#[test]
fn levels_are_waited_for_when_the_rules_say_so() {
    let mut center = Dispatcher::new(Setup::default(), 7);
    let settings = QueueSettings {
        tier_rules_apply: true,
        tier_rule_wait_second: 10,
        tier_rule_wait_multiply_level: true,
        tier_rule_no_agent_no_wait: true,
        ..QueueSettings::default()
    };
    center.load_queue(Queue::new("q", settings));
    for (name, level) in [("one", 1), ("two", 2)] {
        center.add_agent(name, "callback").unwrap();
        center.set_agent(AgentKey::Status, name, "Available", 0).unwrap();
        center.add_tier("q", name, level, 1).unwrap();
    }
    center.set_agent(AgentKey::State, "one", "Idle", 0).unwrap();
    comes(&mut center, "m", 100);
    assert!(offered(&mut center, 119).is_empty(), "level 1 has an agent, who is busy");
    assert_eq!(offered(&mut center, 120)[0].1, "two");
    // No agent at level 1: level 2 at once.
    center.set_agent(AgentKey::Status, "one", "Logged Out", 0).unwrap();
    center.leave("m", 121);
    center.release(1, false, false);
    comes(&mut center, "n", 130);
    assert_eq!(offered(&mut center, 130)[0].1, "two");
}

#[test]
fn an_agent_rests_after_calls_and_misses_and_is_sent_on_a_break_after_too_many() {
    let mut center = center("longest-idle-agent");
    for name in ["ben", "cem"] {
        center.delete_agent(name);
    }
    center.set_agent(AgentKey::NoAnswerDelay, "ann", "4", 0).unwrap();
    center.set_agent(AgentKey::MaxNoAnswer, "ann", "2", 0).unwrap();
    comes(&mut center, "m", 100);
    let (_, _, id) = offered(&mut center, 100).remove(0);
    center.failed(id, Miss::NoAnswer, 101);
    center.release(id, false, true);
    assert!(offered(&mut center, 104).is_empty());
    let (_, _, id) = offered(&mut center, 105).remove(0);
    center.failed(id, Miss::NoAnswer, 106);
    center.release(id, false, true);
    let notices = center.outputs();
    assert!(
        notices.iter().any(|n| matches!(n, Output::Notice(Notice::MaxNoAnswer { count: 2, .. })))
    );
    assert_eq!(center.agent("ann").unwrap().status, Status::OnBreak);
    assert!(offered(&mut center, 200).is_empty());
}

#[test]
fn one_who_calls_again_gets_the_place_back() {
    let mut center = Dispatcher::new(Setup::default(), 7);
    let settings = QueueSettings { abandoned_resume_allowed: true, ..QueueSettings::default() };
    center.load_queue(Queue::new("q", settings));
    let mut member = center.caller("q", "m", "s1", 100);
    member.cid_number = "4711".into();
    center.join(member, 100);
    center.leave("m", 110);
    assert_eq!(center.resume("q", "4712", "s2", 120), None);
    assert_eq!(center.resume("q", "4711", "s2", 120).as_deref(), Some("m"));
    let member = center.member("m").unwrap();
    assert_eq!(
        (member.joined_epoch, member.rejoined_epoch, &*member.session_uuid),
        (100, 120, "s2")
    );
    assert_eq!(member.score(130), 30);
}

#[test]
fn waiting_too_long_ends_the_wait_but_not_while_an_agent_is_being_reached() {
    let mut center = center("longest-idle-agent");
    let settings = QueueSettings { max_wait_time: 10, ..QueueSettings::default() };
    center.load_queue(Queue::new("q", settings));
    comes(&mut center, "m", 100);
    let (_, _, id) = offered(&mut center, 105).remove(0);
    center.watch(111);
    assert!(center.outputs().is_empty());
    center.failed(id, Miss::Busy, 112);
    center.release(id, false, false);
    center.outputs();
    center.watch(112);
    assert_eq!(center.outputs(), [Output::Cancel("m".into(), CancelReason::Timeout)]);
    assert!(offered(&mut center, 113).is_empty(), "told to leave, and not offered any more");
}

#[test]
fn without_agents_callers_wait_as_long_as_the_queue_says() {
    let mut center = Dispatcher::new(Setup::default(), 7);
    let settings = QueueSettings { max_wait_time_with_no_agent: 10, ..QueueSettings::default() };
    center.load_queue(Queue::new("q", settings));
    comes(&mut center, "m", 100);
    let mut left = None;
    for now in 100..130 {
        center.tick(now);
        center.watch(now);
        if let Some(Output::Cancel(_, reason)) = center.outputs().pop() {
            left = Some((now, reason));
            break;
        }
    }
    // Ten seconds, and five of grace for one who has just come.
    assert_eq!(left, Some((115, CancelReason::NoAgentTimeout)));
}

#[test]
fn five_hundred_agents_and_two_thousand_callers_cost_little() {
    for strategy in STRATEGIES {
        let mut center = Dispatcher::new(Setup::default(), 7);
        let settings =
            QueueSettings { strategy: (*strategy).to_owned(), ..QueueSettings::default() };
        center.load_queue(Queue::new("q", settings));
        for at in 0..500 {
            let name = format!("a{at}");
            center.add_agent(&name, "callback").unwrap();
            center.set_agent(AgentKey::Status, &name, "Available", 0).unwrap();
            center.add_tier("q", &name, 1 + at % 3, at).unwrap();
        }
        for at in 0..2000 {
            comes(&mut center, &format!("m{at}"), 100);
        }
        center.outputs();
        let began = std::time::Instant::now();
        let mut offers = Vec::new();
        for tick in 0..100 {
            center.tick(101 + tick / 10);
            offers.extend(center.outputs().into_iter().filter_map(|output| match output {
                Output::Offer(offer) => Some(offer.id),
                _ => None,
            }));
        }
        println!("{strategy}: {:?} for 100 ticks, {} offers", began.elapsed(), offers.len());
        // Each agent got one caller; where several are called at once, they are the first caller's.
        let expected = if *strategy == "ring-progressively" { 2 } else { 500 };
        assert!(offers.len() >= expected, "{strategy}: {}", offers.len());
        assert!(offers.len() <= 500);
    }
}
