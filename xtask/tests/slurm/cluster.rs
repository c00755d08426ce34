//! A Slurm cluster on this host, in a temporary folder: munged, slurmctld and
//! two slurmd, with a key, a socket and ports of their own. It needs no systemd
//! and no configuration of the host, and nothing of it is left behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};

/// The nodes, each with two processors.
pub const NODES: [&str; 2] = ["n1", "n2"];

/// How long a daemon may take to come up or to end.
const LIMIT: Duration = Duration::from_secs(120);

/// A cluster that runs.
pub struct Cluster {
    dir: tempfile::TempDir,
    daemons: BTreeMap<&'static str, Child>,
}

/// Returns what this host lacks for a cluster, if it lacks anything.
pub fn lacks() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("this system has no /proc with the processes of a node".into());
    }
    let all = [
        "munged",
        "slurmctld",
        "slurmd",
        "sbatch",
        "squeue",
        "sinfo",
        "scancel",
    ];
    let absent: Vec<&str> = all
        .into_iter()
        .filter(|name| program(name).is_none())
        .collect();
    (!absent.is_empty()).then(|| {
        format!(
            "{} not installed: cargo xtask doctor --for slurm-test --fix",
            absent.join(", ")
        )
    })
}

/// Returns the path of a program, also of one for administrators.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

impl Cluster {
    /// Starts a cluster and waits until its nodes are idle.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("kdk-slurm-")
            .tempdir()
            .unwrap();
        let path = dir.path();
        // munged refuses a folder that others may write to, and slurmd runs
        // scripts in its own.
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["munge", "state", "n1", "n2"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        let key = path.join("munge/key");
        let random: Vec<u8> = (0..1024).map(|_| getrandom()).collect();
        fs::write(&key, random).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path.join("slurm.conf"), configuration(path)).unwrap();
        let mut cluster = Self {
            dir,
            daemons: BTreeMap::new(),
        };
        let at = |name: &str, file: &str| format!("--{name}={}", cluster.path(file));
        let munged = [
            "--foreground".to_owned(),
            "--force".to_owned(),
            at("key-file", "munge/key"),
            at("socket", "munge/socket"),
            at("pid-file", "munge/pid"),
            at("log-file", "munge/log"),
            at("seed-file", "munge/seed"),
        ];
        cluster.spawn("munged", "munged", &munged);
        cluster.wait_for("munged", |cluster| {
            Path::new(&cluster.path("munge/socket")).exists()
        });
        cluster.spawn("slurmctld", "slurmctld", &["-D".to_owned()]);
        for node in NODES {
            cluster.start_node(node);
        }
        cluster.wait_for("the nodes", |cluster| {
            cluster.output("sinfo", &["-h", "-N", "-o", "%T"]) == "idle\nidle\n"
        });
        cluster
    }

    /// Starts the daemon of a node.
    pub fn start_node(&mut self, node: &'static str) {
        self.spawn(
            node,
            "slurmd",
            &["-D".to_owned(), "-N".to_owned(), node.to_owned()],
        );
    }

    fn spawn(&mut self, name: &'static str, program_name: &str, args: &[String]) {
        let log = File::create(self.dir.path().join(format!("{name}.out"))).unwrap();
        let child = Command::new(program(program_name).unwrap())
            .args(args)
            .env("SLURM_CONF", self.conf())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemons.insert(name, child);
    }

    fn wait_for(&self, what: &str, is_up: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_up(self) {
            if Instant::now() > deadline {
                let logs: String = ["munged", "slurmctld", "n1", "n2"]
                    .iter()
                    .map(|name| fs::read_to_string(self.path(&format!("{name}.out"))))
                    .map(Result::unwrap_or_default)
                    .collect();
                panic!("{what} did not come up:\n{logs}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn path(&self, file: &str) -> String {
        self.dir.path().join(file).to_str().unwrap().to_owned()
    }

    /// Returns the configuration file, which Slurm's programs find by the
    /// variable `SLURM_CONF`.
    pub fn conf(&self) -> PathBuf {
        self.dir.path().join("slurm.conf")
    }

    /// Returns what one of Slurm's programs prints.
    pub fn output(&self, name: &str, args: &[&str]) -> String {
        let output = Command::new(program(name).unwrap())
            .args(args)
            .env("SLURM_CONF", self.conf())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Returns the processes of this cluster's jobs on a node, by their
    /// environment.
    pub fn processes_on(&self, node: &str) -> Vec<i32> {
        let variable = format!("SLURMD_NODENAME={node}");
        let own = format!("SLURM_CONF={}", self.conf().display());
        let has = |pid: &i32| {
            let text = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let all: Vec<&[u8]> = text.split(|byte| *byte == 0).collect();
            all.contains(&own.as_bytes()) && all.contains(&variable.as_bytes())
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .filter(has)
            .collect()
    }

    /// Loses a node: kills its daemon, its steps and their processes at once, as
    /// a power failure does.
    pub fn lose(&mut self, node: &str) {
        let mut daemon = self.daemons.remove(node).unwrap();
        daemon.kill().unwrap();
        for pid in self.processes_on(node) {
            if let Some(step) = parent(pid).filter(|pid| is_step(*pid)) {
                kill_9(step);
            }
            kill_9(pid);
        }
        daemon.wait().unwrap();
    }

    /// Stops the controller.
    pub fn stop_controller(&mut self) {
        self.stop("slurmctld");
    }

    fn stop(&mut self, name: &str) {
        let Some(mut daemon) = self.daemons.remove(name) else {
            return;
        };
        let _ = kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(daemon.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in NODES {
            for pid in self.processes_on(node) {
                if let Some(step) = parent(pid).filter(|pid| is_step(*pid)) {
                    kill_9(step);
                }
                kill_9(pid);
            }
        }
        for name in ["n1", "n2", "slurmctld", "munged"] {
            self.stop(name);
        }
    }
}

/// Returns a random byte. The standard library's hash keys are random numbers of
/// the system.
fn getrandom() -> u8 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0).to_le_bytes()[0]
}

fn kill_9(pid: i32) {
    // An error means that it has ended.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Returns the parent of a process.
fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have spaces.
    text.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// Returns whether a process is the one that supervises a job on a node.
fn is_step(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "slurmstepd")
}

/// Returns ports that are free.
fn ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Returns the text of slurm.conf(5). A node that does not answer for some
/// seconds is lost, and its jobs start again some seconds later.
fn configuration(dir: &Path) -> String {
    let [controller, n1, n2] = ports();
    let host = nix::unistd::gethostname().unwrap();
    let host = host.to_str().unwrap().split('.').next().unwrap();
    let user = User::from_uid(Uid::effective()).unwrap().unwrap().name;
    let dir = dir.display();
    let mut text = format!(
        "ClusterName=kdk\n\
         SlurmctldHost={host}(127.0.0.1)\n\
         SlurmctldPort={controller}\n\
         SlurmUser={user}\n\
         SlurmdUser={user}\n\
         AuthType=auth/munge\n\
         AuthInfo=socket={dir}/munge/socket,cred_expire=5\n\
         StateSaveLocation={dir}/state\n\
         SlurmdSpoolDir={dir}/%n\n\
         SlurmctldPidFile={dir}/slurmctld.pid\n\
         SlurmdPidFile={dir}/%n/pid\n\
         SlurmctldLogFile={dir}/slurmctld.log\n\
         SlurmdLogFile={dir}/%n.log\n\
         MpiDefault=none\n\
         ProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\n\
         SelectType=select/cons_tres\n\
         SelectTypeParameters=CR_CPU\n\
         SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0\n\
         AccountingStorageType=accounting_storage/none\n\
         JobAcctGatherType=jobacct_gather/none\n\
         SlurmdTimeout=10\n\
         SlurmdParameters=config_overrides\n\
         KillWait=5\n\
         MessageTimeout=10\n\
         ReturnToService=2\n"
    );
    for (node, port) in NODES.iter().zip([n1, n2]) {
        writeln!(
            text,
            "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2"
        )
        .unwrap();
    }
    text + "PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP\n"
}
