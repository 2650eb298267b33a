//! Which programs are installed: the names of packages, out of what Android writes and says.
//!
//! `packages.list` and `packages.xml` (text or binary) of /data/system, the output of `pm list packages` (with `-f`, `-U` or versions, too), and a
//! `packages.txt` with a name in each line. Names that phones have from their maker are left out: they tell nobody apart.

use super::binary_xml::{self, Damaged};

/// Names of packages begin like this where they come with Android or with the phone.
const EVERYBODYS: &[&str] = &[
    "android",
    "com.android",
    "com.google.android",
    "com.google.ar",
    "com.qualcomm",
    "com.qti",
    "com.quicinc",
    "com.mediatek",
    "com.sprd",
    "com.miui",
    "com.xiaomi",
    "com.samsung",
    "com.sec",
    "com.huawei",
    "com.hihonor",
    "com.oppo",
    "com.coloros",
    "com.heytap",
    "com.realme",
    "com.oneplus",
    "com.vivo",
    "com.bbk",
    "com.lge",
    "com.sonyericsson",
    "com.sonymobile",
    "com.motorola",
    "com.asus",
    "org.codeaurora",
    "org.lineageos",
    "vendor",
];
/// Characters of a name at most.
const LONGEST: usize = 200;

/// Whether a file says which packages are installed, by its name or its first bytes.
pub(super) fn is_list(path: &str, head: &[u8]) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    matches!(name, "packages.list" | "packages.xml" | "packages.txt") || head.starts_with(b"package:")
}

/// The names in such a file, in its order; those that all phones of a kind have are left out.
pub(super) fn names(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = if text.trim_start().starts_with('<') {
        text.split("<package ").skip(1).filter_map(of_element).collect()
    } else {
        text.lines().filter_map(of_line).collect()
    };
    names.retain(|name| is_name(name) && !is_everybodys(name));
    names
}

/// The names in Android's binary XML, and whether it is whole.
pub(super) fn names_of_binary(bytes: &[u8]) -> (Vec<&str>, Result<(), Damaged>) {
    let mut names = Vec::new();
    let end = binary_xml::elements(bytes, &mut |element| {
        let installed = element.attribute("codePath").is_none_or(|path| path.starts_with("/data/"));
        if element.tag == "package" && installed {
            names
                .extend(element.attributes.iter().find(|(name, _)| *name == "name").map(|(_, value)| *value));
        }
    });
    names.retain(|name| is_name(name) && !is_everybodys(name));
    (names, end)
}

/// `<package name="com.example.app" codePath="/data/app/…">`; what lies elsewhere came with the phone.
fn of_element(element: &str) -> Option<&str> {
    let head = element.split('>').next()?;
    let field = |name: &str| head.split_once(name)?.1.split('"').next();
    let installed = field("codePath=\"").is_none_or(|path| path.starts_with("/data/"));
    field("name=\"").filter(|_| installed)
}

/// `package:com.example.app`, `package:/data/app/…/base.apk=com.example.app uid:10123`, `com.example.app 10123 0 /data/…`.
fn of_line(line: &str) -> Option<&str> {
    let line = line.trim();
    let Some(rest) = line.strip_prefix("package:") else { return line.split_whitespace().next() };
    // A path may hold signs of equality; the name follows the last one of its own word.
    let word = rest.split_whitespace().next()?;
    match word.rsplit_once('=') {
        Some((path, name)) => path.starts_with("/data/").then_some(name),
        None => Some(word),
    }
}

/// A name as the platform takes it: words with dots between (Android, `<manifest package>`).
fn is_name(name: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.len() <= LONGEST && name.contains('.') && name.split('.').all(word)
}

fn is_everybodys(name: &str) -> bool {
    EVERYBODYS
        .iter()
        .any(|known| name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_what_android_writes() {
        let wanted = ["com.example.shop", "org.thoughtcrime.securesms"];
        for text in [
            "package:com.example.shop\npackage:com.android.phone\npackage:org.thoughtcrime.securesms\n",
            "package:/data/app/~~x==/com.example.shop-k==/base.apk=com.example.shop uid:10123\n\
             package:/system/app/Foo/Foo.apk=com.maker.foo\n\
             package:/data/app/y/base.apk=org.thoughtcrime.securesms versionCode:7\n",
            "com.example.shop 10123 0 /data/user/0/com.example.shop default:targetSdkVersion=30\n\
             com.miui.home 1000 0 /data\norg.thoughtcrime.securesms 10124 0 /data\n",
            "<?xml version='1.0'?>\n<packages>\n<package name=\"com.example.shop\" codePath=\"/data/app/a\">\n\
             <package name=\"com.maker.foo\" codePath=\"/system/app/Foo\"/>\n<updated-package name=\"x.y\"/>\n\
             <package codePath=\"/data/app/b\" name=\"org.thoughtcrime.securesms\"/></packages>",
        ] {
            assert_eq!(names(text), wanted, "{text}");
        }
        assert_eq!(names("no list at all\n<\n1.2.3 4\ncom..x\n"), [""; 0]);
    }

    #[test]
    fn binary_xml_gives_the_same_names() {
        let mut bytes = b"ABX\0\x10\x32\xff\xff\0\x08packages\x33\0\0".to_vec();
        let pooled = |bytes: &mut Vec<u8>, text: &str| {
            bytes.extend([0xff, 0xff, 0, u8::try_from(text.len()).unwrap()]);
            bytes.extend(text.bytes());
        };
        for (tag, name, path) in [
            ("package", "com.example.shop", "/data/app/a"),
            ("package", "com.maker.foo", "/system/app/Foo"),
            ("package", "com.android.phone", "/data/app/p"),
            ("updated-package", "com.maker.bar", "/data/app/b"),
            ("package", "org.thoughtcrime.securesms", "/data/app/c"),
        ] {
            bytes.push(0x32);
            pooled(&mut bytes, tag);
            for (field, value) in [("name", name), ("codePath", path)] {
                bytes.push(0x3f);
                pooled(&mut bytes, field);
                pooled(&mut bytes, value);
            }
            bytes.extend(b"\x33\0\0");
        }
        let wanted = ["com.example.shop", "org.thoughtcrime.securesms"];
        assert_eq!(names_of_binary(&bytes), (wanted.to_vec(), Ok(())));
        bytes.push(0x32);
        assert_eq!(names_of_binary(&bytes), (wanted.to_vec(), Err(Damaged)));
    }

    #[test]
    fn files_are_told_by_name_or_first_word() {
        assert!(is_list("data/system/packages.list", b"") && is_list("pm.out", b"package:com.x"));
        assert!(!is_list("packages.list.bak", b"com.x") && !is_list("x.txt", b"packages"));
    }
}
