//! What loading and deciding cost: `cargo bench -p dialplan-xml`.
//!
//! Goals: a whole vanilla tree from disk to compiled in under 30 ms and 10 MB; a decision through
//! its default context in under 20 µs; through 2,000 extensions in under 200 µs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dialplan_xml::dialplan::{Dialplan, RouteRequest, Trace};
use dialplan_xml::directory::Directory;
use dialplan_xml::{Globals, Host, Later, LoadOptions, Tree, expand::expand};
use jiff::Timestamp;

/// Counts what is allocated, to know what a loaded tree holds.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Call {
    fields: HashMap<String, String>,
    variables: HashMap<String, String>,
}

impl Host for Call {
    fn variable(&mut self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
    fn set_variable(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.variables.insert(name.into(), value.into()),
            None => self.variables.remove(name),
        };
    }
    fn field(&mut self, name: &str) -> Option<String> {
        self.fields.get(name).cloned()
    }
    fn global(&self, _: &str) -> Option<String> {
        None
    }
    fn api<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, Option<String>> {
        Later::Now(None)
    }
    fn run_inline<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn local_zone(&self) -> jiff::tz::TimeZone {
        jiff::tz::TimeZone::UTC
    }
}

/// The median of many runs.
fn median(runs: usize, mut body: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            body();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}

fn load(path: &std::path::Path) -> (Tree, Dialplan, Directory) {
    let globals: Globals = [("local_ip_v4", "192.0.2.1")].into_iter().collect();
    let tree = dialplan_xml::load(path, globals, &LoadOptions::default()).tree.expect("loads");
    let (dialplan, _) = Dialplan::compile(&tree);
    let directory = Directory::compile(&tree);
    (tree, dialplan, directory)
}

fn decide(name: &str, dialplan: &Dialplan, context: &str, number: &str) {
    let mut call = Call::default();
    for (field, value) in [
        ("destination_number", number),
        ("caller_id_number", "5551000"),
        ("context", context),
        ("source", "mod_sofia"),
    ] {
        call.fields.insert(field.into(), value.into());
    }
    let request = RouteRequest {
        context: context.into(),
        destination_number: number.into(),
        ..RouteRequest::default()
    };
    let steps = dialplan.route(&request, &mut call, Trace::On).trace.len();
    let took = median(2000, || {
        black_box(dialplan.route(&request, &mut call, Trace::Off));
    });
    println!("{name}: {took:?} ({steps} steps)");
}

fn main() {
    let vanilla = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/conf-trees/vanilla");
    if vanilla.exists() {
        let took = median(30, || {
            black_box(load(&vanilla));
        });
        println!("vanilla, disk to compiled: {took:?}");
        let before = LIVE.load(Relaxed);
        let (tree, dialplan, directory) = load(&vanilla);
        println!("vanilla, held: {} kB", (LIVE.load(Relaxed) - before) / 1024);
        println!("vanilla, tree alone: {} kB", tree.memory() / 1024);
        decide("vanilla default, last extension", &dialplan, "default", "*9999");
        decide("vanilla default, 1000", &dialplan, "default", "1000");
        black_box(directory);
    } else {
        println!("SKIPPED: {} is not here", vanilla.display());
    }

    for (kind, pattern) in [("exact", "^N$"), ("groups", "^(N)$"), ("prefix", r"^N\d+$")] {
        let extensions: String = (0..2000)
            .map(|n| {
                let pattern = pattern.replace('N', &format!("7{n:04}"));
                format!(
                    "<extension name=\"e{n}\"><condition field=\"destination_number\" \
                     expression=\"{pattern}\"><action application=\"park\"/></condition></extension>\n"
                )
            })
            .collect();
        let text = format!(
            "<document>\n<section name=\"dialplan\"><context name=\"c\">{extensions}</context></section></document>"
        );
        let loaded = dialplan_xml::parse_document(
            text.as_bytes(),
            "bench",
            ".".as_ref(),
            Globals::new(),
            &LoadOptions::default(),
        );
        let before = LIVE.load(Relaxed);
        let (dialplan, _) = Dialplan::compile(&loaded.tree.expect("loads"));
        println!("2000 extensions ({kind}), held: {} kB", (LIVE.load(Relaxed) - before) / 1024);
        let number = if kind == "prefix" { "719991" } else { "71999" };
        decide(&format!("2000 extensions ({kind}), last"), &dialplan, "c", number);
    }

    let mut call = Call::default();
    call.variables.insert("domain_name".into(), "example.test".into());
    call.variables.insert("dialed_extension".into(), "1000".into());
    let took = median(2000, || {
        black_box(expand("user/${dialed_extension}@${domain_name:0:7}", &mut call));
    });
    println!("expand two references: {took:?}");
}
