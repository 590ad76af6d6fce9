//! A server's folder, which cannot outlive the test process.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Ends what runs in the folder or its `data`, gently first (PostgreSQL then frees its shared
/// memory), and removes the folder, once the other end of its input is closed. No more than 200
/// rounds of 50 ms.
const GUARDIAN: &str = r#"
cat >/dev/null
signal=QUIT
round=0
while [ $round -lt 200 ]; do
    alive=
    for process in /proc/[0-9]*; do
        if [ "$process/cwd" -ef "$1" ] || [ "$process/cwd" -ef "$1/data" ]; then
            kill -$signal "${process#/proc/}"
            alive=1
        fi
    done
    if [ -z "$alive" ]; then rm -rf "$1" && exit 0; fi
    round=$((round + 1))
    [ $round -lt 20 ] || signal=KILL
    sleep 0.05
done 2>/dev/null
"#;

/// A temporary folder with a guardian: a process that, when this value is dropped or the test
/// process ends (panic and `kill -9` included), kills what runs in the folder and removes it.
pub struct Folder {
    path: PathBuf,
    owner: Option<Account>,
    guardian: Child,
}

/// Who servers run as where the tests run as root: database servers refuse to.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Folder {
    /// A new folder, `/tmp/edgewise-<what>-…` or below `TMPDIR`.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let owner = is_root().then(unprivileged);
        // Another account may not be let into the TMPDIR of root.
        let parent = match owner {
            Some(_) => PathBuf::from("/tmp"),
            None => std::env::temp_dir(),
        };
        let prefix = format!("edgewise-{what}-");
        let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
        let made = made.expect("a temporary folder can be made");
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(made.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let folder = Self {
            path: made.keep(),
            owner,
            guardian,
        };
        folder.hand_over(&folder.path);
        folder
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a folder inside, for the server alone.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn subfolder(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        fs::create_dir(&path).expect("a folder can be made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("it is ours");
        self.hand_over(&path);
        path
    }

    /// Writes a file that the server may read and nobody else.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, path: &Path, text: &str) {
        fs::write(path, text).expect("a file can be written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        self.hand_over(path);
    }

    /// Gives a path to the account that the server runs as.
    ///
    /// # Panics
    /// Where it does not exist.
    pub fn hand_over(&self, path: &Path) {
        if let Some(Account { uid, gid }) = self.owner {
            chown(path, Some(uid), Some(gid)).expect("root may give files away");
        }
    }

    /// Makes `command` run as the server's account, inside the folder.
    pub fn confine<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if let Some(Account { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        command.current_dir(&self.path).env("HOME", &self.path)
    }

    /// Ids of the processes that run in the folder or its `data`.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let data = self.path.join("data");
        let Ok(listing) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let numbers = listing.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers
            .filter(|pid: &i32| {
                let place = fs::read_link(format!("/proc/{pid}/cwd"));
                place.is_ok_and(|place| place == data || place == self.path)
            })
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The account `postgres` or, without it, `nobody`.
fn unprivileged() -> Account {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let mut lines = accounts
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let fields = lines.find(|fields| fields.first() == Some(&name))?;
        Some(Account {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("there is an account `nobody`")
}
