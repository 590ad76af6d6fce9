//! The servers that other tests start: they answer, come back, and leave nothing behind.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{
    Auth, FaultProxy, Kafka, MariaDb, MariaDbConfig, NULL, Postgres, PostgresConfig, Stop, Tls,
    Version, promtool,
};

/// Asserts that nothing is left of a server.
#[track_caller]
fn check_gone(id: u32, folder: &Path) {
    assert!(!Path::new(&format!("/proc/{id}")).exists(), "still running");
    assert!(!folder.exists(), "{} is left", folder.display());
}

/// Starts, answers, survives a crash and a restart, decodes, and is gone afterwards.
fn postgres_lives_and_dies(version: Version) {
    let Some(mut postgres) = Postgres::start(version) else {
        return;
    };
    postgres.sql(
        "create table t (a int primary key, b text); insert into t values (1, E'x\\ny'), (2, null)",
    );
    let rows = postgres.sql("select a, b from t order by a");
    assert_eq!(rows, [["1", "x\ny"], ["2", NULL]]);
    let error = postgres.try_sql("select 1; selec 2; select 3").unwrap_err();
    assert!(error.contains("syntax error"), "{error}");
    assert_eq!(postgres.value("select 4"), "4", "in step after an error");
    let long = format!("select length('{}')", "x".repeat(200_000));
    assert_eq!(postgres.value(&long), "200000");
    postgres.sql("select pg_create_logical_replication_slot('s', 'pgoutput')");

    for stop in [Stop::Kill, Stop::Immediate, Stop::Fast] {
        postgres.sql("insert into t select max(a) + 1, 'more' from t");
        let before = postgres.id();
        postgres.restart(stop);
        assert_ne!(postgres.id(), before, "a new process after {stop:?}");
    }
    assert_eq!(postgres.value("select count(*) from t"), "5");
    assert_eq!(
        postgres.value("select count(*) from pg_replication_slots"),
        "1"
    );
    let expected = match version {
        Version::Pg15 => "15",
        Version::Pg18 => "18",
    };
    let number = postgres.value("show server_version_num");
    assert!(number.starts_with(expected), "{number}");

    let (id, folder) = (postgres.id().unwrap(), postgres.dir().to_owned());
    drop(postgres);
    check_gone(id, &folder);
}

#[test]
fn postgres_15_lives_and_dies() {
    postgres_lives_and_dies(Version::Pg15);
}

#[test]
fn postgres_18_lives_and_dies() {
    postgres_lives_and_dies(Version::Pg18);
}

#[test]
fn postgres_asks_for_passwords_and_tls() {
    let mut config = PostgresConfig::new(Version::Pg15).with("max_slot_wal_keep_size", "64MB");
    config.auth = Auth::Scram;
    config.tls = Tls::Required;
    config.wal_level = "replica";
    let Some(postgres) = Postgres::start_with(config) else {
        return;
    };
    assert_eq!(postgres.value("show wal_level"), "replica");
    assert_eq!(postgres.value("show max_slot_wal_keep_size"), "64MB");
    let psql = |url: &str| {
        let mut psql = Command::new("psql");
        psql.args([
            "-XAt",
            "-c",
            "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
        ]);
        let output = psql.arg(url).env_remove("PGPASSWORD").output().unwrap();
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let url = postgres.url("postgres");
    let authority = &postgres.certificates.as_ref().unwrap().authority;
    let verified = format!(
        "{url}?sslmode=verify-full&sslrootcert={}",
        authority.display()
    );
    assert_eq!(psql(&verified).0, "t\n", "{}", psql(&verified).1);
    let plain = psql(&format!("{url}?sslmode=disable")).1;
    assert!(plain.contains("no encryption"), "{plain}");
    let wrong = psql(&verified.replace(Postgres::PASSWORD, "wrong")).1;
    assert!(wrong.contains("password authentication failed"), "{wrong}");
}

/// A standby follows, is promoted onto a new timeline, and still has the slot.
fn standby_takes_over(version: Version) {
    let Some(mut primary) = Postgres::start(version) else {
        return;
    };
    primary.sql("create table t (a int)");
    let mut standby = primary.standby("twin");
    primary.sql("select pg_create_logical_replication_slot('s', 'pgoutput')");
    primary.sql("create publication p for table t");
    primary.sql("insert into t values (1)");
    standby.catch_up(&primary);
    standby.carry_slot(&primary, "s");
    primary.sql("insert into t values (2)");
    standby.catch_up(&primary);
    primary.stop(Stop::Kill);
    standby.promote();
    standby.sql("insert into t values (3)");
    assert_eq!(standby.value("select sum(a) from t"), "6");
    assert_eq!(
        standby.value("select timeline_id from pg_control_checkpoint()"),
        "2"
    );
    let changes = standby.value(
        "select count(*) from pg_logical_slot_get_binary_changes('s', null, null,
            'proto_version', '1', 'publication_names', 'p')",
    );
    // Begin, insert and commit of three rows, the table's description (and that of creating it).
    assert!(changes.parse::<u32>().unwrap() >= 10, "{changes}");
}

#[test]
fn a_standby_of_15_takes_over() {
    standby_takes_over(Version::Pg15);
}

#[test]
fn a_standby_of_18_takes_over() {
    standby_takes_over(Version::Pg18);
}

#[test]
fn mariadb_lives_and_dies() {
    let Some(mut server) = MariaDb::start() else {
        return;
    };
    server.sql("create table app.t (a int primary key, b text)");
    server.sql("insert into app.t values (1, 'x\\ny\\tz\\\\'), (2, null)");
    let rows = server.sql("select a, b from app.t order by a");
    assert_eq!(rows, [["1", "x\ny\tz\\"], ["2", NULL]]);
    let error = server.try_sql("selec 2").unwrap_err();
    assert!(error.contains("1064"), "{error}");
    assert_eq!(server.sql("select 4"), [["4"]], "in step after an error");
    let format = server.sql("select @@binlog_format, @@binlog_row_image, @@server_id");
    assert_eq!(format, [["ROW", "FULL", "7"]]);
    for stop in [Stop::Kill, Stop::Fast] {
        server.sql("insert into app.t select max(a) + 1, 'more' from app.t");
        server.restart(stop);
    }
    assert_eq!(server.sql("select count(*) from app.t"), [["4"]]);
    let (id, folder) = (server.id().unwrap(), server.dir().to_owned());
    drop(server);
    check_gone(id, &folder);
}

#[test]
fn mariadb_lets_the_replication_user_in_over_tls_alone() {
    let config = MariaDbConfig {
        tls: Tls::Required,
        arguments: vec!["--binlog-row-metadata=FULL".to_owned()],
    };
    let Some(server) = MariaDb::start_with(config) else {
        return;
    };
    let ask = |arguments: &[&str]| {
        let mut client = Command::new("mariadb");
        client.args([
            "--no-defaults",
            "-h127.0.0.1",
            "-N",
            "-e",
            "show master status",
        ]);
        client.arg(format!("-P{}", server.port));
        client
            .args(["-uedgewise", "-ptest-password"])
            .args(arguments);
        client.output().unwrap()
    };
    let authority = &server.certificates.as_ref().unwrap().authority;
    let trust = format!("--ssl-ca={}", authority.display());
    let answer = ask(&[&trust, "--ssl-verify-server-cert"]);
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(text.starts_with("binlog."), "{answer:?}");
    assert!(
        !ask(&["--skip-ssl"]).status.success(),
        "plain text is refused"
    );
    assert!(server.url("app").starts_with("mysql://edgewise:"));
}

#[test]
fn kafka_lives_and_dies() {
    let Some(mut kafka) = Kafka::start() else {
        return;
    };
    kafka.topic("events", 3);
    kafka.kill();
    assert!(TcpStream::connect(kafka.bootstrap()).is_err());
    kafka.run();
    kafka.topic("events", 3);
    let (id, folder) = (kafka.id().unwrap(), kafka.dir().to_owned());
    drop(kafka);
    check_gone(id, &folder);
}

#[test]
fn promtool_runs() {
    if let Some(promtool) = promtool() {
        assert!(
            Command::new(promtool)
                .arg("--version")
                .output()
                .unwrap()
                .status
                .success()
        );
    }
}

/// The inner half of the test below: starts a server, says where it is, and waits to be killed.
/// Without its variable it does nothing.
#[test]
fn server_of_a_runner_that_is_killed() {
    if std::env::var_os("EDGEWISE_RUNNER_TO_KILL").is_none() {
        return;
    }
    let postgres = Postgres::start(Version::Pg15).unwrap();
    println!(
        "folder {} {}",
        postgres.id().unwrap(),
        postgres.dir().display()
    );
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn servers_die_with_a_runner_that_is_killed() {
    if Postgres::start(Version::Pg15).is_none() {
        return;
    }
    let mut runner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "servers::server_of_a_runner_that_is_killed",
            "--nocapture",
        ])
        .env("EDGEWISE_RUNNER_TO_KILL", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(runner.stdout.take().unwrap());
    let line = std::io::BufRead::lines(lines)
        .map(Result::unwrap)
        .find(|line| line.contains("folder "))
        .unwrap();
    let mut words = line.split_whitespace().rev();
    let folder = PathBuf::from(words.next().unwrap());
    let id: u32 = words.next().unwrap().parse().unwrap();
    assert!(folder.exists() && Path::new(&format!("/proc/{id}")).exists());
    runner.kill().unwrap();
    runner.wait().unwrap();
    eventually(
        "server and folder are gone",
        Duration::from_secs(10),
        || {
            let alive = Path::new(&format!("/proc/{id}/cwd")).read_link().is_ok();
            (!alive && !folder.exists()).then_some(())
        },
    );
}

/// A server that sends back what it gets; its port.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                std::io::copy(&mut stream, &mut back).ok();
                // The end of what the client says is the end of the echo.
                let _ = stream.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    port
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Sends a few bytes and reads them back.
fn ping(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.write_all(b"ping")?;
    stream.read_exact(&mut [0; 4])
}

#[test]
fn the_proxy_forwards_cuts_and_refuses() {
    let proxy = FaultProxy::start(echo());
    let (first, second) = (connect(&proxy), connect(&proxy));
    ping(&first).unwrap();
    ping(&second).unwrap();
    proxy.cut();
    for mut stream in [&first, &second] {
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    ping(&connect(&proxy)).unwrap();
    proxy.refuse(true);
    assert!(ping(&connect(&proxy)).is_err());
    proxy.refuse(false);
    ping(&connect(&proxy)).unwrap();
    let counts = proxy.counts();
    assert_eq!((counts.accepted, counts.refused, counts.cut), (4, 1, 2));
    assert_eq!((counts.up_bytes, counts.down_bytes), (16, 16));
    let port = proxy.port;
    drop(proxy);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn the_proxy_stalls_without_closing() {
    let proxy = FaultProxy::start(echo());
    let mut stream = connect(&proxy);
    ping(&stream).unwrap();
    proxy.stall();
    stream.write_all(b"held").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(150)))
        .unwrap();
    let error = stream.read(&mut [0; 4]).unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::WouldBlock,
        "open and silent"
    );
    proxy.resume();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut held = [0; 4];
    stream.read_exact(&mut held).unwrap();
    assert_eq!(&held, b"held", "nothing was lost");

    let start = Instant::now();
    proxy.stall_for(Duration::from_millis(200));
    ping(&stream).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(190));
    // A stalled connection can be cut.
    proxy.stall();
    stream.write_all(b"lost").unwrap();
    proxy.cut();
    assert!(stream.read(&mut [0; 1]).is_err());
}

#[test]
fn the_proxy_cuts_after_so_many_bytes_and_passes_ends_on() {
    let proxy = FaultProxy::start(echo());
    let mut stream = connect(&proxy);
    let sent = vec![7; 1_000_000];
    let mut own = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        own.write_all(&sent).unwrap();
        own.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back).unwrap();
    writer.join().unwrap();
    assert_eq!(back.len(), 1_000_000, "all of it, then the end");

    let before = proxy.counts();
    proxy.cut_after_bytes(6);
    let stream = connect(&proxy);
    assert!(ping(&stream).is_err(), "four bytes up, two down");
    let after = proxy.counts();
    let through = after.up_bytes + after.down_bytes - before.up_bytes - before.down_bytes;
    assert_eq!((through, after.cut - before.cut), (6, 1));
    ping(&connect(&proxy)).unwrap();
}

#[test]
fn the_proxy_changes_what_servers_say_until_that_is_done() {
    let proxy = FaultProxy::start(echo());
    proxy.tamper(|said| {
        said[0] = b'X';
        true
    });
    let mut stream = connect(&proxy);
    let mut heard = [0; 4];
    for expected in [b"Xing", b"ping"] {
        stream.write_all(b"ping").unwrap();
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, expected);
        assert!(proxy.tampered());
    }
}
