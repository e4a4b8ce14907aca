//! The account that Postgres runs as: our own, or an unprivileged one when we are root, which Postgres refuses.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use rustix::{
    fs::{Gid, Uid},
    process::{getegid, geteuid},
};

/// Tried in this order when we are root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Who owns the data directory and runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether children have to change to it, which only root can.
    pub(super) is_another: bool,
}

impl Account {
    /// Ours, or an unprivileged one when we are root.
    pub(super) fn choose() -> anyhow::Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self {
                uid: geteuid().as_raw(),
                gid: getegid().as_raw(),
                is_another: false,
            });
        }
        let passwd = fs::read_to_string("/etc/passwd")
            .context("Postgres refuses to run as root, and /etc/passwd cannot be read")?;
        let Some((uid, gid)) = UNPRIVILEGED.iter().find_map(|name| lookup(&passwd, name)) else {
            bail!(
                "Postgres refuses to run as root, and /etc/passwd has no user {}",
                UNPRIVILEGED.join(" or ")
            );
        };
        Ok(Self {
            uid,
            gid,
            is_another: true,
        })
    }

    /// Whether it can reach what lies in this folder; parts that do not exist yet are ours to open.
    pub(super) fn can_enter(self, folder: &Path) -> bool {
        let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        absolute.ancestors().all(|part| match fs::metadata(part) {
            Ok(found) => self.may_pass(found.uid(), found.gid(), found.mode()),
            Err(_) => true,
        })
    }

    fn may_pass(self, uid: u32, gid: u32, mode: u32) -> bool {
        let bit = if uid == self.uid {
            0o100
        } else if gid == self.gid {
            0o010
        } else {
            0o001
        };
        mode & bit != 0
    }

    /// Gives it a file or folder, for it alone.
    pub(super) fn give(self, path: &Path, mode: u32) -> anyhow::Result<()> {
        let given = || -> std::io::Result<()> {
            if self.is_another {
                let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
                rustix::fs::chown(path, Some(uid), Some(gid))?;
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        };
        given().with_context(|| format!("cannot give {} to user {}", path.display(), self.uid))
    }
}

/// Makes a folder that others may enter and only we may change, and refuses one that is not ours.
///
/// A folder in the shared temporary directory could have been put there by somebody else.
pub(super) fn open_folder(folder: &Path) -> anyhow::Result<()> {
    for missing in missing_parts(folder) {
        // Another process may be making the same folder.
        if let Err(error) = fs::create_dir(missing)
            && !missing.is_dir()
        {
            return Err(error).with_context(|| format!("cannot make {}", missing.display()));
        }
        // Whatever the umask says: the server's account has to pass.
        fs::set_permissions(missing, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot open {}", missing.display()))?;
    }
    let found = fs::symlink_metadata(folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?;
    let target =
        fs::metadata(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    let us = geteuid().as_raw();
    if !target.is_dir() {
        bail!("{} is not a folder", folder.display());
    }
    if found.uid() != us || target.uid() != us || target.mode() & 0o002 != 0 {
        bail!(
            "{} belongs to somebody else, or everybody may write in it",
            folder.display()
        );
    }
    Ok(())
}

/// The parts of the path that do not exist, outermost first.
fn missing_parts(folder: &Path) -> Vec<&Path> {
    let mut parts: Vec<_> = folder
        .ancestors()
        .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
        .collect();
    parts.reverse();
    parts
}

/// The uid and gid of a user.
fn lookup(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        postgres-old:x:7:7::/:/bin/false\n\
        postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        assert_eq!(lookup(PASSWD, "postgres"), Some((101, 104)));
        assert_eq!(lookup(PASSWD, "post"), None);
        assert_eq!(lookup(PASSWD, "nobody"), None);
    }

    #[test]
    fn the_first_class_that_fits_decides_who_may_pass() {
        let account = Account {
            uid: 101,
            gid: 104,
            is_another: true,
        };
        assert!(account.may_pass(0, 0, 0o755));
        assert!(!account.may_pass(0, 0, 0o700));
        assert!(account.may_pass(101, 0, 0o700));
        assert!(account.may_pass(0, 104, 0o710));
        assert!(!account.may_pass(101, 104, 0o071));
    }

    #[test]
    fn a_closed_folder_anywhere_above_keeps_it_out() {
        let home = tempfile::tempdir().unwrap();
        let below = home.path().join("project/.orion");
        let stranger = Account {
            uid: geteuid().as_raw() + 1,
            gid: getegid().as_raw() + 1,
            is_another: true,
        };
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.can_enter(&below));
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(stranger.can_enter(&below));
    }

    #[test]
    fn a_folder_that_everybody_may_change_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("a/b");
        open_folder(&folder).unwrap();
        open_folder(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(open_folder(&folder).is_err());
    }
}
