//! Loads a configuration and prints what was found: `cargo run --example load_tree -- DIR`.
fn main() {
    let dir = std::env::args().nth(1).unwrap_or_default();
    let start = std::time::Instant::now();
    let loaded = dialplan_xml::load(dir.as_ref(), Default::default(), &Default::default());
    let took = start.elapsed();
    for d in &loaded.diagnostics {
        print!("{}", d.render(&loaded.sources));
    }
    println!("{} {:?} in {took:?}", loaded.status, loaded.tree);
    if let Some(tree) = &loaded.tree {
        println!("{} bytes", tree.memory());
    }
}
