//! The end of a cluster: processes, mounts, namespaces, cgroups, folder.
//!
//! There is one way to it, whoever goes it: a process that does nothing but wait for the cluster's owner to end
//! ([`supervise`]), and, where that has been killed as well, whoever starts the next cluster ([`clean_up_the_dead`]).
//! The end of the owner is the end of a pipe, which no way of dying can keep open.
//!
//! What there is to remove is written down by being in the cluster's folder before it is made. Servers carry that folder in
//! their environment, and so does whatever they start: the container runtime's shims, CNI plugins. A container has a
//! folder in its node's runtime, from before its cgroup is made until after that is removed. Network namespaces are held
//! by files in the folder. What nodes mount is mounted in namespaces of their own, which end with the last process in
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, stdin};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::ClusterError;
use super::machine::run;
use super::record::{self, Found};
use super::{lan, node};

/// The variable that servers of a cluster have its folder in.
pub(super) const MARK: &str = "CLOUD_LB_CLUSTER";

/// The argument by which the program `cluster` supervises.
pub const SUPERVISE: &str = "supervise";

/// How long killed processes may take to be gone.
const EXIT_TIMEOUT: Duration = Duration::from_secs(20);

/// What clusters of this host have in common: each has a folder in it.
pub fn parent() -> PathBuf {
    std::env::temp_dir().join("cloud-lb-clusters")
}

/// The clusters of this host, living and dead.
pub fn all() -> Vec<Found> {
    record::all(&parent())
}

/// Removes every cluster whose owner has ended; their folders.
///
/// # Errors
/// When something of them cannot be removed; the next one to come tries again.
pub fn clean_up_the_dead() -> Result<Vec<PathBuf>, ClusterError> {
    let _lock = lock()?;
    let dead = all().into_iter().filter(|found| found.owner.is_none());
    let clean = |found: Found| remove_all(&found.folder).map(|()| found.folder);
    dead.map(clean).collect()
}

/// Keeps others from looking for dead clusters, and from removing any, while it is held: a folder that was just made has
/// no owner yet, and two that remove the same would take each other's work for failures.
pub(super) fn lock() -> Result<fs::File, ClusterError> {
    let parent = parent();
    fs::create_dir_all(&parent).map_err(ClusterError::file(&parent))?;
    let path = parent.join("lock");
    let lock = fs::File::create(&path).map_err(ClusterError::file(&path))?;
    lock.lock().map_err(ClusterError::file(&path))?;
    Ok(lock)
}

/// Starts the process that removes a cluster when this one ends. It is `program`, which has to be `cluster`, in a process
/// group of its own: what ends this one's group does not end it.
pub(super) fn start_supervisor(program: &Path, folder: &Path) -> Result<Child, ClusterError> {
    use std::os::unix::process::CommandExt;
    Command::new(program)
        .arg(SUPERVISE)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(ClusterError::file(program))
}

/// Waits until standard input ends, then removes the cluster in a folder.
///
/// # Errors
/// As [`clean_up_the_dead`].
pub fn supervise(folder: &Path) -> Result<(), ClusterError> {
    // Nothing is ever written. An error is an end, too.
    let _ = stdin().read_to_end(&mut Vec::new());
    clean_up(folder)
}

/// Removes a cluster.
pub(super) fn clean_up(folder: &Path) -> Result<(), ClusterError> {
    let _lock = lock()?;
    remove_all(folder)
}

/// Removes it, what the next step needs gone first.
fn remove_all(folder: &Path) -> Result<(), ClusterError> {
    until_gone(|| {
        let mut left = marked(folder);
        left.extend(cgroups(folder).iter().flat_map(|cgroup| in_cgroup(cgroup)));
        kill(&left);
        left.into_iter().map(|id| format!("process {id}")).collect()
    })?;
    remove_uplink(folder)?;
    for mounted in mounts_under(folder, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()) {
        let mut umount = Command::new("umount");
        umount.arg(mounted);
        run(umount)?;
    }
    until_gone(|| {
        // The kernel lets go of a cgroup a little after its last process.
        let failed = |cgroup: &PathBuf| Some(format!("{}: {}", cgroup.display(), remove(cgroup).err()?));
        cgroups(folder).iter().filter_map(failed).collect()
    })?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ClusterError::file(folder)(error)),
        _ => Ok(()),
    }
}

/// Looks until nothing is left.
fn until_gone(mut look: impl FnMut() -> Vec<String>) -> Result<(), ClusterError> {
    let deadline = Instant::now() + EXIT_TIMEOUT;
    loop {
        let left = look();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let what = "that all of a cluster is gone".to_owned();
            return Err(ClusterError::Late { what, timeout: EXIT_TIMEOUT, last: left.join(", ") });
        }
        sleep(Duration::from_millis(20));
    }
}

/// The processes that carry a cluster's mark.
fn marked(folder: &Path) -> BTreeSet<u32> {
    let mark = [MARK.as_bytes(), b"=", folder.as_os_str().as_bytes()].concat();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_marked = |id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark)
    };
    numbers.filter(is_marked).collect()
}

fn in_cgroup(cgroup: &Path) -> Vec<u32> {
    let numbers = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    numbers.lines().filter_map(|line| line.parse().ok()).collect()
}

fn kill(processes: &BTreeSet<u32>) {
    if processes.is_empty() {
        return;
    }
    let mut kill = Command::new("kill");
    kill.arg("-9").args(processes.iter().map(u32::to_string));
    // Fails if one has ended meanwhile, which is just as well; the next look shows what is left.
    let _ = run(kill);
}

/// The cgroups of a cluster's containers: one in each hierarchy, of which the newer kind of cgroups has one only.
fn cgroups(folder: &Path) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = [subfolders(root), vec![root.to_owned()]].concat();
    let nodes = subfolders(folder);
    let containers = nodes.iter().flat_map(|node| subfolders(&node.join(node::CONTAINERS)));
    let names: Vec<_> = containers.filter_map(|one| one.file_name().map(ToOwned::to_owned)).collect();
    let all = hierarchies.iter().flat_map(|one| names.iter().map(|name| one.join(node::CGROUPS).join(name)));
    all.filter(|cgroup| cgroup.is_dir()).collect()
}

/// Removes a cgroup, and the one that it is in if that was the last.
fn remove(cgroup: &Path) -> std::io::Result<()> {
    match fs::remove_dir(cgroup) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Fails while it has others, perhaps of other clusters.
    let _ = cgroup.parent().map(fs::remove_dir);
    Ok(())
}

/// Removes the host's end of the cable to a cluster. It would go with the namespace of the other end, but that may be kept
/// for minutes by connections that nobody answers any more.
fn remove_uplink(folder: &Path) -> Result<(), ClusterError> {
    let name = lan::uplink_name(&folder.file_name().unwrap_or_default().to_string_lossy());
    if !Path::new("/sys/class/net").join(&name).exists() {
        return Ok(());
    }
    let mut ip = Command::new("ip");
    ip.args(["link", "delete", &name]);
    run(ip).map(drop)
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

/// What is mounted under a folder, the last mounted first. The lines are those of `/proc/self/mountinfo`.
fn mounts_under(folder: &Path, mountinfo: &str) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut under: Vec<_> = points.filter(|point| point.starts_with(folder)).collect();
    under.reverse();
    under
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_under_the_folder_is_unmounted_and_the_last_first() {
        let mountinfo = "\
            22 1 8:1 / / rw - ext4 /dev/sda rw\n\
            30 22 0:4 net:[1] /tmp/clusters/00ff/plane.net rw - nsfs nsfs rw\n\
            31 22 0:4 net:[2] /tmp/clusters/00ff0/plane.net rw - nsfs nsfs rw\n\
            32 22 0:4 net:[3] /tmp/clusters/00ff/client.net rw - nsfs nsfs rw\n";
        let under = mounts_under(Path::new("/tmp/clusters/00ff"), mountinfo);
        let expected = ["/tmp/clusters/00ff/client.net", "/tmp/clusters/00ff/plane.net"];
        assert_eq!(under, expected.map(PathBuf::from));
    }

    #[test]
    fn a_process_is_known_by_its_mark_and_its_children_are_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("other");
        let start = |mark: &Path| {
            let mut shell = Command::new("sh");
            // A second command keeps the shell from becoming the first.
            shell.args(["-c", "cat; true"]).env(MARK, mark).stdin(Stdio::piped()).stdout(Stdio::null());
            shell.spawn().expect("a shell")
        };
        let (mut ours, mut not_ours) = (start(folder.path()), start(&other));
        let has_child = |found: &BTreeSet<u32>| found.len() == 2;
        let found = std::iter::repeat_with(|| marked(folder.path())).find(has_child).expect("endless");
        assert!(found.contains(&ours.id()) && !found.contains(&not_ours.id()), "{found:?}");

        kill(&found);
        ours.wait().expect("it ended");
        until_gone(|| marked(folder.path()).iter().map(u32::to_string).collect()).expect("all ended");
        assert!(marked(&other).contains(&not_ours.id()));
        not_ours.kill().and_then(|()| not_ours.wait()).expect("it ends");
        kill(&marked(&other));
    }

    #[test]
    fn a_folder_goes_with_all_that_is_in_it_and_going_twice_is_no_failure() {
        let folder = tempfile::tempdir().expect("a folder").keep();
        fs::create_dir_all(folder.join("node-1/run")).expect("a folder");
        clean_up(&folder).expect("it goes");
        assert!(!folder.exists());
        clean_up(&folder).expect("there is nothing to do");
    }
}
