#!/usr/bin/env python3
"""The rules of deny.toml without cargo-deny, over what `cargo tree` and Cargo.lock say.

    ci/deny.py              checks the workspace; prints what is wrong and exits with 1
    ci/deny.py --self-test  shows each rule a graph that breaks it

Rules: [licenses] allow; [sources]; [bans] deny (with wrappers), multiple-versions with skip, and
wildcards. Settings that this script does not know are errors, so that none is ignored in silence.
"""

import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
KNOWN = {
    "graph": {"targets"},
    "licenses": {"allow", "unused-allowed-license"},
    "sources": {"unknown-registry", "unknown-git"},
    "bans": {"wildcards", "allow-wildcard-paths", "multiple-versions", "skip", "deny"},
}


class Crate(NamedTuple):
    name: str
    version: str


class Graph(NamedTuple):
    licenses: dict  # Crate -> SPDX expression
    parents: dict  # Crate -> set of Crate


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    shipped, everything = Graph({}, defaultdict(set)), Graph({}, defaultdict(set))
    for target in rules["graph"]["targets"]:
        read_tree(cargo_tree(target, "normal,build"), shipped)
        read_tree(cargo_tree(target, "normal,build,dev"), everything)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    manifests = {
        str(path.relative_to(ROOT)): tomllib.loads(path.read_text())
        for path in [
            ROOT / "Cargo.toml",
            *sorted(ROOT.glob("crates/*/Cargo.toml")),
            *sorted(ROOT.glob("examples/*/Cargo.toml")),
        ]
    }
    complaints = [
        *unknown_settings(rules),
        *licenses(everything, rules),
        *bans(everything, rules),
        *duplicates(shipped, rules),
        *sources(lock),
        *wildcards(manifests),
    ]
    for complaint in complaints:
        print(complaint)
    print(f"{len(everything.licenses)} crates, {len(complaints)} complaints")
    return 1 if complaints else 0


def cargo_tree(target, edges):
    command = ["cargo", "tree", "--locked", "--workspace", "--target", target, "--edges", edges]
    command += ["--prefix", "depth", "--charset", "ascii", "--format", "{p}\t{l}"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def read_tree(text, graph):
    """Adds lines such as `2quote v1.0.47<tab>MIT OR Apache-2.0 (*)`; a depth leads each."""
    path = []
    for line in text.splitlines():
        head, _, license = line.partition("\t")
        match = re.match(r"(\d+)(\S+) v(\S+)", head)
        if not match:
            continue
        depth, crate = int(match[1]), Crate(match[2], match[3])
        graph.licenses[crate] = license.removesuffix(" (*)").strip()
        del path[depth:]
        if path:
            graph.parents[crate].add(path[-1])
        path.append(crate)


def unknown_settings(rules):
    for table, settings in rules.items():
        for name in settings:
            if name not in KNOWN.get(table, ()):
                yield f"deny.toml: [{table}] {name} is not known to ci/deny.py"


def licenses(graph, rules):
    allowed = set(rules["licenses"]["allow"])
    for crate, expression in sorted(graph.licenses.items()):
        if not license_allowed(expression, allowed):
            yield f"{crate.name} {crate.version}: its licence, {expression!r}, is not allowed"


def license_allowed(expression, allowed):
    """Evaluates an SPDX expression; `/` is an old way to write OR."""
    tokens = re.findall(r"[()]|[^\s()/]+", expression.replace("/", " OR "))
    position = 0

    def either():
        nonlocal position
        result = both()
        while position < len(tokens) and tokens[position] == "OR":
            position += 1
            result = both() or result
        return result

    def both():
        nonlocal position
        result = one()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            result = one() and result
        return result

    def one():
        nonlocal position
        if position >= len(tokens):
            return False
        name = tokens[position]
        position += 1
        if name == "(":
            result = either()
            position += 1
            return result
        if tokens[position : position + 1] == ["WITH"]:
            name = " ".join([name, *tokens[position : position + 2]])
            position += 2
        return name in allowed

    return either() and position >= len(tokens)


def bans(graph, rules):
    for ban in rules["bans"]["deny"]:
        wrappers, reason = set(ban.get("wrappers", ())), ban["reason"]
        for crate in sorted(graph.licenses):
            if not matches(ban["crate"], crate):
                continue
            if "wrappers" not in ban:
                yield f"{crate.name} {crate.version} is banned: {reason}"
            for parent in sorted(graph.parents[crate]):
                if "wrappers" in ban and parent.name not in wrappers:
                    yield f"{parent.name} must not use {crate.name}: {reason}"


def duplicates(graph, rules):
    versions = defaultdict(list)
    for crate in graph.licenses:
        if not any(matches(skip["crate"], crate) for skip in rules["bans"]["skip"]):
            versions[crate.name].append(crate.version)
    for name, found in sorted(versions.items()):
        if len(found) > 1:
            yield f"{name} is there in versions {', '.join(sorted(found))}; see deny.toml, skip"
    for skip in rules["bans"]["skip"]:
        if not any(matches(skip["crate"], crate) for crate in graph.licenses):
            yield f"deny.toml skips {skip['crate']}, which is not there any more"


def matches(spec, crate):
    """`name`, or `name:1.2`, which stands for every version that begins so."""
    name, _, version = spec.partition(":")
    return name == crate.name and (not version or f"{crate.version}.".startswith(f"{version}."))


def sources(lock):
    """All from one registry: the one that most come from, which is the ordinary one."""
    found = Counter(package["source"] for package in lock["package"] if "source" in package)
    usual = found.most_common(1)[0][0] if found else None
    for package in lock["package"]:
        source = package.get("source")
        if source and (source != usual or not source.startswith("registry+")):
            yield f"{package['name']} comes from {source}"


def wildcards(manifests):
    for path, manifest in manifests.items():
        for table in ["dependencies", "dev-dependencies", "build-dependencies"]:
            for place in [manifest, manifest.get("workspace", {})]:
                for name, wanted in place.get(table, {}).items():
                    version = wanted.get("version") if isinstance(wanted, dict) else wanted
                    if version == "*":
                        yield f"{path}: {name} wants any version"


def self_test():
    rules = tomllib.loads(
        """
        [licenses]
        allow = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]
        [bans]
        skip = [{ crate = "skipped:0.9", reason = "" }, { crate = "gone:1", reason = "" }]
        deny = [
            { crate = "ring", reason = "one stack" },
            { crate = "heavy", wrappers = ["room"], reason = "in its room" },
        ]
        """
    )
    graph = Graph({}, defaultdict(set))
    read_tree(
        "0room v0.1.0 (/somewhere)\tMIT\n"
        "1heavy v1.0.0 (proc-macro)\tMIT/GPL-3.0\n"
        "2ring v0.17.0\tISC AND (GPL-3.0 OR MIT)\n"
        "1skipped v0.9.1\tApache-2.0 WITH LLVM-exception\n"
        "1skipped v1.0.0\tMIT\n"
        "1twice v1.0.0\tMIT\n"
        "1twice v2.0.0\tGPL-3.0\n"
        "\n"
        "0other v0.1.0 (/somewhere)\tMIT AND GPL-3.0\n"
        "1heavy v1.0.0 (proc-macro)\tMIT/GPL-3.0 (*)\n",
        graph,
    )
    lock = {"package": [{"name": "a"}, {"name": "b", "source": "git+https://example.org/b"}]}
    manifest = {"dependencies": {"a": "1", "b": {"version": "*"}, "c": {"path": "../c"}}}
    cases = {
        "licences": (
            licenses(graph, rules),
            ["other 0.1.0: its licence, 'MIT AND GPL-3.0', is not allowed",
             "twice 2.0.0: its licence, 'GPL-3.0', is not allowed"],
        ),
        "bans": (
            bans(graph, rules),
            ["ring 0.17.0 is banned: one stack", "other must not use heavy: in its room"],
        ),
        "duplicates": (
            duplicates(graph, rules),
            ["twice is there in versions 1.0.0, 2.0.0; see deny.toml, skip",
             "deny.toml skips gone:1, which is not there any more"],
        ),
        "sources": (sources(lock), ["b comes from git+https://example.org/b"]),
        "wildcards": (wildcards({"x": manifest}), ["x: b wants any version"]),
        "settings": (
            unknown_settings({"bans": {"features": []}}),
            ["deny.toml: [bans] features is not known to ci/deny.py"],
        ),
        "an empty licence": ([license_allowed("", {"MIT"})], [False]),
        "an unfinished licence": ([license_allowed("MIT AND", {"MIT"})], [False]),
    }
    failed = 0
    for name, (found, wanted) in cases.items():
        found = list(found)
        if found != wanted:
            failed += 1
            print(f"self-test, {name}: found {found}, wanted {wanted}")
    print(f"self-test: {len(cases)} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
