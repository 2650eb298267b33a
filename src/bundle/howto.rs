//! How to check a bundle without this program. The same text stands in every bundle of the format,
//! and `tests/bundle_peers.rs` runs its commands as they are written.

/// `data/howto.txt`. Lines that start with `$ ` are commands for bash.
pub const TEXT: &str = r#"Checking this bundle by hand
============================

You need bash, GNU tar, gzip, sha256sum, jq and openssl (3.0 or later), and tshark for the captures.
Run the commands one after another in one shell, with BUNDLE set to the bundle's file name as a full
path. Every command has to succeed; stop at the first that does not.

Take this text from somewhere else than the bundle that you check: whoever changes a bundle
can change what stands in it. It is the same in every bundle of the format exhibit/0.

$ set -e -o pipefail
$ export LC_ALL=C

1. Unpack into an empty folder
   Every name has to be below exhibit/ and spelled in a-z 0-9 . _ - only; there are no links.

$ test "$(gzip -dc "$BUNDLE" | tar -tf - | grep -Evc '^exhibit(/[a-z0-9][a-z0-9._-]*)+$')" = 0
$ test "$(gzip -dc "$BUNDLE" | tar -tvf - | grep -vc '^-rw-r--r-- 0/0 ')" = 0
$ folder=$(mktemp -d)
$ gzip -dc "$BUNDLE" | tar -xf - -C "$folder"
$ cd "$folder/exhibit"

2. Integrity: every file is listed and unchanged, and nothing else is there

$ sha256sum --check --strict --quiet manifest-sha256.txt
$ sha256sum --check --strict --quiet tagmanifest-sha256.txt
$ cut -c 67- manifest-sha256.txt | diff - <(find data -type f | sort)
$ printf 'bag-info.txt\nbagit.txt\nmanifest-sha256.txt\n' | diff - <(cut -c 67- tagmanifest-sha256.txt)

3. The bundle id is the digest of the tag manifest. Two people hold the same bundle if they hold the same id.

$ id=$(sha256sum tagmanifest-sha256.txt | cut -c 1-64)
$ echo "bundle id: $id"

4. Signature (skip 4 and 5 when there is no folder attestations: the bundle is unsigned)
   The envelope is DSSE v1; what is signed is "DSSEv1", then type and payload, each with its length.

$ jq -e '.payloadType == "application/vnd.in-toto+json"' attestations/seal.dsse.json > /dev/null
$ jq -r .payload attestations/seal.dsse.json | base64 -d > ../payload
$ jq -r '.signatures[0].sig' attestations/seal.dsse.json | base64 -d > ../sig
$ { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < ../payload)"; cat ../payload; } > ../pae
$ openssl pkeyutl -verify -pubin -inkey attestations/seal.keys.pem -rawin -in ../pae -sigfile ../sig
$ jq -e --arg id "$id" '.subject[0].digest.sha256 == $id' ../payload > /dev/null
$ jq -e '.predicateType == "https://exhibit.example/seal/v0"' ../payload > /dev/null

5. Whose signature? The key beside the envelope is the sealer's word only. Compare its fingerprint with one that
   the sealer gave you in another way.

$ openssl pkey -pubin -in attestations/seal.keys.pem -outform DER | sha256sum | cut -c 1-64

6. What was found, where: each finding's capture, and a filter that shows its frames in tshark or Wireshark
   The inventory gives the file behind the name that the findings use.

$ jq -ac '.claims[] | [.id, .status, .permits]' data/findings.json
$ jq -r --slurpfile inventory data/inventory.json '.findings[] as $f | $f.parts[] | . as $p | $inventory[0].inputs[] | select(.path == $p.capture) | [$f.id, .member, $p.filter] | @tsv' data/findings.json > ../findings.tsv
$ while IFS=$'\t' read -r finding member filter; do printf '%q\n' "$finding"; tshark -n -r "$member" -Y "$filter" -T fields -e frame.number -e frame.time_epoch -e ip.src -e ip.dst -e ipv6.src -e ipv6.dst < /dev/null; done < ../findings.tsv

7. The digests of files that were found are those of the phone's files

$ jq -r '.findings[] | select(.grade == "exact") | .sha256' data/findings.json | sort -u > ../found
$ jq -r '.inputs[] | select(.role == "device") | .sha256' data/inventory.json | sort -u | comm -13 - ../found | diff /dev/null -

8. The archive has one spelling: packing the files again gives the same bytes

$ cat <(printf 'exhibit/%s\n' bagit.txt bag-info.txt manifest-sha256.txt tagmanifest-sha256.txt) <(cd .. && find exhibit/attestations exhibit/data -type f 2> /dev/null | sort) > ../list
$ epoch=$(jq -r .epoch data/bundle.json)
$ tar --format=ustar -b1 --owner=0 --group=0 --numeric-owner --mode=0644 --mtime="@$epoch" --no-recursion -C .. -T ../list -cf - | cmp - <(gzip -dc "$BUNDLE")

What this does not show: that the captures are what a phone sent. Whoever sealed the bundle could have invented them.
What it leaves to the program: whether the verdicts follow from the captures. `exhibit verify` runs the analysis again.
"#;

/// The commands in order, without their `$ `.
pub fn commands() -> impl Iterator<Item = &'static str> {
    TEXT.lines().filter_map(|line| line.strip_prefix("$ "))
}
