//! `edgewise-edge`: the edge as one process.

fn main() -> anyhow::Result<()> {
    edgewise_edge::cli::run()
}
