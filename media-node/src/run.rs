//! The wiring: configuration, engines, listeners, signals, the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Globals;
use esl_server::EventBus;
use esl_server::event::{Event, EventName};

use crate::foreground::Foreground;
use crate::linked::linked;
use boot::{Context, Fatal, LogControl, Request, Signals};
use mod_event_socket::EventSocket;
use mod_sofia::Sofia;
use switch_core::contract::Change;
use switch_core::switch::{Parts, Stop, Switch};
use switch_core::{clock, config};

/// Runs the switch until it is told to stop.
///
/// # Errors
/// [`Fatal`] when it cannot start: an unusable configuration, or a listener that must not fail.
pub async fn run(context: Context) -> Result<(), Fatal> {
    let mut globals = Globals::new();
    for (name, value) in &context.globals {
        globals.set(name, value);
    }
    let core_uuid = clock::new_uuid();
    globals.set("core_uuid", &core_uuid);
    let modules = linked();
    let known = Arc::new(crate::declarations::catalogue(&modules));
    let allowed = context.options.allow_preprocess();
    let loaded = config::load(&context.dirs.root_path(), globals, &allowed, &known);
    config::log_diagnostics(&loaded.diagnostics);
    let complaints = config::complaints(&loaded.diagnostics);
    let Some(conf) = loaded.config else { return Err(Fatal::config(loaded.status)) };
    for line in conf.acl.describe() {
        switch_log::log_notice!("{line}");
    }
    // A list without modules means all of them (reference behaviour).
    let listed = &conf.modules.modules;
    let mod_logfile = listed.is_empty() || listed.iter().any(|load| load.module == "mod_logfile");
    let log_files = context.log.configure(&conf.tree, mod_logfile, &context.dirs.log_dir);
    let bus = EventBus::new(switch_core::heartbeat::core_info(&core_uuid, &conf, &loaded.globals));
    let media = media::Engine::start(media::EngineConfig {
        workers: None,
        raise_priority: !context.options.normal_priority,
        port_min: conf.switch.rtp_start_port,
        port_max: conf.switch.rtp_end_port,
    })
    .map_err(|error| Fatal::new(format!("Cannot start the media engine: {error}")))?;
    let switch = Switch::new(Parts {
        bus,
        logs: Arc::clone(&context.log_hub),
        media,
        config: conf,
        globals: loaded.globals,
        stores: switch_core::store::Stores::default(),
        dirs: context.dirs.clone(),
        allow_preprocess: allowed,
        modules,
        known,
        no_sql: context.options.no_sql,
    });
    *switch.reloading.lock().await = complaints;
    switch_core::modules::load_configured(&switch).await.map_err(Fatal::config)?;
    config::ask_bindings(&switch).await;
    switch_core::modules::start_all(&switch).await;
    for finding in mod_commands::audit::event_socket(&switch.config.load().event_socket) {
        switch_log::log_alert!("{finding}");
    }
    let event_socket = EventSocket::bind(&switch).await.map_err(Fatal::new)?;
    let Context { ready, mut signals, log, identity, options, dirs, .. } = context;
    // Every port is bound and every key read: root is not needed any more, and no request has been answered yet.
    log.flush();
    let state = [&dirs.log_dir, &dirs.run_dir, &dirs.db_dir, &dirs.cache_dir];
    let places: Vec<&Path> = state.into_iter().chain(&log_files).map(PathBuf::as_path).collect();
    if let Err(error) = identity.give_open_files(&places) {
        tracing::warn!("A file cannot be given to the user of -u: {error}");
    }
    identity.take().map_err(|error| Fatal::new(error.to_string()))?;
    switch.serving.begin();
    let event_socket = event_socket.serve(&switch);
    if !matches!(event_socket, EventSocket::Open(_)) && Sofia::of(&switch).profiles().is_empty() {
        // It could not be reached, not even to end it.
        switch_core::modules::end_all(&switch).await;
        event_socket.shutdown().await;
        return Err(Fatal::new(
            "No port could be opened: neither the Event Socket's nor any SIP profile's",
        ));
    }
    switch_core::heartbeat::start(&switch);
    ready.announce();
    switch_log::log_notice!("Ready after {} ms", switch.started.elapsed().as_millis());
    fire_info(&switch, EventName::Startup, "System Ready");
    tokio::spawn(run_startup_command(Arc::clone(&switch)));
    invite(&switch, &event_socket);
    let console = Foreground::open(&switch, &log);
    wait_for_end(&switch, &mut signals, &log, options.drain()).await;
    // New calls are refused at once.
    switch.counters.draining.store(true, std::sync::atomic::Ordering::Relaxed);
    if let Some(console) = console {
        console.close().await;
    }
    fire_info(&switch, EventName::Shutdown, "System Shutting Down");
    end_calls(&switch).await;
    switch_core::modules::end_all(&switch).await;
    event_socket.shutdown().await;
    switch_log::log_notice!("The switch has ended");
    Ok(())
}

/// The last lines of the start: where the switch can be reached, and what to try.
fn invite(switch: &Switch, event_socket: &EventSocket) {
    let conf = switch.config.load().event_socket.clone();
    let address = format!("{}:{}", bracketed(&conf.listen_ip), conf.listen_port);
    match event_socket {
        EventSocket::Open(_) => {
            let port = if conf.listen_port == 8021 {
                String::new()
            } else {
                format!(" -P {}", conf.listen_port)
            };
            switch_log::log_notice!(
                "The Event Socket listens on {address}; try: fs_cli{port} -x status, or fs_cli{port} for a console"
            );
        }
        EventSocket::Opening(_) => {
            tracing::warn!("The Event Socket waits until {address} is free");
        }
        EventSocket::GivenUp => {}
    }
    // The shipped configuration: its phones have the password this installation made.
    let made = switch.global(boot::secret::PASSWORD_VARIABLE).filter(|made| !made.is_empty());
    let Some(password) =
        made.filter(|_| switch.loaded_modules().iter().any(|module| module.name() == "mod_sofia"))
    else {
        return;
    };
    if switch.global("default_password") == Some(password)
        && let (Some(ip), Some(port)) =
            (switch.global("bind_ip"), switch.global("internal_sip_port"))
    {
        let file = switch.dirs.db_dir.join(boot::secret::PASSWORD_FILE);
        switch_log::log_notice!(
            "A phone registers as 1000 to 1019 at {ip}:{port}, with the password in {}, and dials 9196 for an echo",
            file.display()
        );
    }
}

/// An address as it stands before a port.
fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

/// The command line in the global variable `api_on_startup`, if there is one.
async fn run_startup_command(switch: Arc<Switch>) {
    let Some(line) = switch.global("api_on_startup") else { return };
    let (command, args) = line.split_once(' ').unwrap_or((&line, ""));
    match switch.run_api(command, args, None).await {
        Some(output) => tracing::info!("Startup command [{line}] executed: {}", output.trim_end()),
        None => tracing::error!("Startup command [{line}]: no such command"),
    }
}

fn fire_info(switch: &Switch, name: EventName, info: &str) {
    let mut event = Event::new(name);
    event.push("Event-Info", info);
    esl_server::fire!(switch.bus, event);
}

/// Waits for a signal or a command that ends the switch. With `drain`, SIGTERM takes no new calls and waits that
/// long for the others; a second one does not wait.
async fn wait_for_end(
    switch: &Arc<Switch>,
    signals: &mut Signals,
    log: &LogControl,
    drain: Option<Duration>,
) {
    let mut deadline: Option<tokio::time::Instant> = None;
    loop {
        let out_of_patience = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            request = signals.next() => match (request, drain) {
                (Request::Hangup, _) => hang_up_logs(switch, log),
                (Request::Terminate, Some(patience)) if deadline.is_none() => {
                    tracing::info!("Waiting for {} channels to end", switch.channel_count());
                    // Effectively no deadline: 100 years cannot overflow `Instant`.
                    let patience = patience.min(Duration::from_secs(100 * 365 * 86_400));
                    deadline = Some(tokio::time::Instant::now() + patience);
                    switch.stop(Stop::Elegant);
                }
                (request @ (Request::Terminate | Request::Interrupt), _) => {
                    switch_log::log_notice!("Stopping: {request:?}");
                    return;
                }
            },
            how = switch.stopped() => {
                tracing::info!("Stopping: {how:?}");
                if how == Stop::Restart {
                    boot::restart_after_end();
                }
                if how != Stop::Elegant {
                    return;
                }
            }
            () = out_of_patience => return,
        }
    }
}

/// SIGHUP: log files rotate, and modules that keep files of their own are told. The configuration is not read again
/// (reference behaviour).
fn hang_up_logs(switch: &Arc<Switch>, log: &LogControl) {
    log.hangup();
    let told = Arc::clone(switch);
    tokio::spawn(async move { switch_core::modules::reloaded(&told, Change::Hangup).await });
    let mut event = Event::new(EventName::Trap);
    event.push("Trapped-Signal", "HUP");
    esl_server::fire!(switch.bus, event);
}

/// Calls get this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

async fn end_calls(switch: &Arc<Switch>) {
    for channel in switch.channels() {
        channel.hangup(switch_core::call::Cause::SYSTEM_SHUTDOWN);
    }
    let gone = async {
        while switch.channel_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _late = tokio::time::timeout(GOODBYE, gone).await;
}
