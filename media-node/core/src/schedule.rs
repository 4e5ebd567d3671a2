//! Timed jobs: `sched_api`, `sched_hangup`, `sched_transfer`, `sched_broadcast`, and the events about them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use esl_server::event::{Event, EventName};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::BoxFuture;
use crate::call::transfer::transfer;
use crate::call::{Cause, Channel};
use crate::switch::Switch;
use crate::{clock, text};

/// What a job does when its time has come.
type Action = Arc<dyn Fn(Arc<Switch>) -> BoxFuture<'static, ()> + Send + Sync>;

/// A job with its group and description.
#[derive(Clone)]
pub struct Job {
    /// What `show tasks` says about it.
    pub description: String,
    /// What `sched_del` finds it by; a call's UUID for jobs about calls.
    pub group: String,
    /// Seconds between runs; `None` runs once.
    pub every: Option<u32>,
    action: Action,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { description, group, every, .. } = self;
        write!(f, "Job {description} of {group}, every {every:?}")
    }
}

impl Job {
    /// Does something once, or every so many seconds.
    #[must_use]
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        description: &str,
        group: &str,
        every: Option<u32>,
        action: impl Fn(Arc<Switch>) -> F + Send + Sync + 'static,
    ) -> Self {
        Self {
            description: description.to_owned(),
            group: group.to_owned(),
            every,
            action: Arc::new(move |switch| Box::pin(action(switch))),
        }
    }

    /// Does something to a call, if it is still there.
    fn about(
        description: &str,
        uuid: &str,
        action: impl Fn(&Arc<Channel>) + Send + Sync + 'static,
    ) -> Self {
        let of = uuid.to_owned();
        Self::new(description, uuid, None, move |switch| {
            if let Some(channel) = switch.channel(&of) {
                action(&channel);
            }
            std::future::ready(())
        })
    }

    /// Runs an API command.
    #[must_use]
    pub fn api(group: &str, command: &str, args: &str, every: Option<u32>) -> Self {
        let (command, args) = (Arc::<str>::from(command), Arc::<str>::from(args));
        Self::new("api_sched", group, every, move |switch| {
            let (command, args) = (Arc::clone(&command), Arc::clone(&args));
            async move {
                let output = switch.run_api(&command, &args, None).await;
                tracing::info!(
                    "Command {command}({}): {}",
                    base::far::plain(&args),
                    output.as_deref().unwrap_or("no such command")
                );
            }
        })
    }

    /// Ends a call, or its partner.
    #[must_use]
    pub fn hangup(uuid: &str, cause: Cause, partner: bool) -> Self {
        Self::about("sched_hangup", uuid, move |channel| {
            match channel.partner().filter(|_| partner) {
                Some(partner) => partner.hangup(cause),
                None => channel.hangup(cause),
            }
        })
    }

    /// Transfers a call.
    #[must_use]
    pub fn transfer(
        uuid: &str,
        exten: &str,
        dialplan: Option<String>,
        context: Option<String>,
    ) -> Self {
        let exten = exten.to_owned();
        Self::about("sched_transfer", uuid, move |channel| {
            transfer(channel, &exten, dialplan.as_deref(), context.as_deref());
        })
    }

    /// Plays something to a call.
    #[must_use]
    pub fn broadcast(uuid: &str, path: &str, legs: &str) -> Self {
        let (path, legs) = (path.to_owned(), legs.to_owned());
        Self::about("sched_broadcast", uuid, move |channel| {
            crate::call::broadcast::broadcast(channel, &path, &legs);
        })
    }

    async fn run(&self, switch: &Arc<Switch>) {
        (self.action)(Arc::clone(switch)).await;
    }
}

/// One waiting job, for `show tasks`.
#[derive(Clone, Debug)]
pub struct Task {
    /// Number.
    pub id: u32,
    /// The job.
    pub job: Job,
    /// When it runs next, seconds since the epoch.
    pub runtime: i64,
}

/// All waiting jobs.
#[derive(Default)]
pub struct Scheduler {
    last_id: AtomicU32,
    tasks: Mutex<Tasks>,
}

/// Jobs by number, and the numbers of each group.
#[derive(Default)]
struct Tasks {
    by_id: HashMap<u32, (Task, AbortHandle)>,
    groups: HashMap<String, Vec<u32>>,
}

impl Tasks {
    fn insert(&mut self, task: Task, handle: AbortHandle) {
        self.groups.entry(task.job.group.clone()).or_default().push(task.id);
        self.by_id.insert(task.id, (task, handle));
    }

    fn remove(&mut self, id: u32) -> Option<(Task, AbortHandle)> {
        let (task, handle) = self.by_id.remove(&id)?;
        if let Some(ids) = self.groups.get_mut(&task.job.group) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.groups.remove(&task.job.group);
            }
        }
        Some((task, handle))
    }

    fn of_group(&self, group: &str) -> Vec<u32> {
        self.groups.get(group).cloned().unwrap_or_default()
    }
}

impl Scheduler {
    /// Runs a job at `when` (seconds since the epoch); returns its number.
    pub fn add(&self, switch: &Arc<Switch>, when: i64, job: Job) -> u32 {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let task = Task { id, job, runtime: when };
        fire(switch, EventName::AddSchedule, &task);
        let owner = Arc::clone(switch);
        let mut waiting = task.clone();
        let mut tasks = self.tasks.lock();
        let handle = crate::foreign::spawn(async move {
            loop {
                let ms =
                    u64::try_from(waiting.runtime * 1000 - clock::now_us() / 1000).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                crate::tasks::step(&waiting.job.description, waiting.job.run(&owner)).await;
                let Some(every) = waiting.job.every.filter(|&every| every > 0) else { break };
                waiting.runtime = clock::now_secs() + i64::from(every);
                fire(&owner, EventName::ReSchedule, &waiting);
                if let Some((task, _)) = owner.scheduler.tasks.lock().by_id.get_mut(&id) {
                    task.runtime = waiting.runtime;
                }
            }
            // A call that this ended may have taken its jobs away already.
            let removed = owner.scheduler.tasks.lock().remove(id);
            if removed.is_some() {
                fire(&owner, EventName::DelSchedule, &waiting);
            }
        });
        tasks.insert(task, handle.abort_handle());
        id
    }

    /// Removes a job by number, or all of a group; returns how many.
    pub fn remove(&self, switch: &Switch, which: &str) -> usize {
        let removed: Vec<_> = {
            let mut tasks = self.tasks.lock();
            let mut ids = tasks.of_group(which);
            ids.extend(which.parse::<u32>().ok());
            ids.into_iter().filter_map(|id| tasks.remove(id)).collect()
        };
        for (task, handle) in &removed {
            handle.abort();
            fire(switch, EventName::DelSchedule, task);
        }
        removed.len()
    }

    /// All waiting jobs, by number.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let mut all: Vec<Task> =
            self.tasks.lock().by_id.values().map(|(task, _)| task.clone()).collect();
        all.sort_by_key(|task| task.id);
        all
    }
}

fn fire(switch: &Switch, name: EventName, task: &Task) {
    if !switch.bus.wants(name) {
        switch.bus.skip();
        return;
    }
    let mut event = Event::new(name);
    event.push("Task-ID", task.id.to_string());
    event.push("Task-Desc", task.job.description.as_str());
    event.push("Task-Group", task.job.group.as_str());
    event.push("Task-Runtime", task.runtime.to_string());
    esl_server::fire!(switch.bus, event);
}

/// Reads `+5`, `@5` (both relative) or an absolute epoch.
#[must_use]
pub fn epoch(time: &str) -> i64 {
    match time.strip_prefix(['+', '@']) {
        Some(seconds) => clock::now_secs() + text::int(seconds),
        None => text::int(time),
    }
}
