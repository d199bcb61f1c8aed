"""Policies of other tools, as ours: what they come to, and that nothing is lost in silence."""

from __future__ import annotations

import ast
import copy
import itertools
import json
import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hubs import ROOT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kubespawner import KubeSpawner

from hub_groups.roster import parse_roster
from hub_quotas.cli import main as hub_quotas
from hub_quotas.files import parse_text
from hub_quotas.hub_cli import DONE, FOUND, UNUSABLE, USAGE, main
from hub_quotas.import_command import policy_text
from hub_quotas.importing import home_nfs, kubespawner, slurm, usage_quotas
from hub_quotas.importing.report import ASIDE, CANNOT, DIFFERS, MAPS, Converted, SourceError, report
from hub_quotas.importing.slurm_dump import say_wall
from hub_quotas.importing.sources import Source, read_python, read_values
from hub_quotas.policy import parse_policy, print_policy
from hub_quotas.storage import home_of
from hub_quotas.store import open_store
from hub_quotas.windows import read_zone

IMPORTS = ROOT / "tests" / "imports"
G = 2**30
UTC = read_zone("UTC")
NOW = 1_800_000_000 * 10**6

CONVERT = {
    "usage-quotas": usage_quotas.convert,
    "kubespawner": kubespawner.convert,
    "home-nfs": home_nfs.convert,
}


def source(text: str, name: str = "x.yaml") -> Source:
    return read_python(text) if name.endswith(".py") else read_values(yaml.safe_load(text))


def convert(kind: str, name: str) -> Converted:
    text = (IMPORTS / name).read_text()
    if kind == "slurm":
        return slurm.convert(text, window="month")
    return CONVERT[kind](source(text, name))


def said(found: Converted, kind: str) -> list[str]:
    return [f"{note.place[-1]}: {note.why}" for note in found.notes if note.kind == kind]


# -- published configurations, rewritten -----------------------------------------------------------

TIERS = {
    "default": {"limits": {"member.memory-hours": "4000 per 30d"}},
    "tier-1": {"limits": {"member.memory-hours": "4000 per 30d"}},
    "tier-2": {"limits": {"member.memory-hours": "12000 per 30d"}},
    "tier-3": {"limits": {"member.memory-hours": "60000 per 30d"}},
}
QUICK_START = {
    "default": {"limits": {"member.memory-hours": "300 per 7d"}},
    "guests": {
        "limits": {
            "member.cpu-hours": "40 per 12h",
            "member.memory-hours": ["10 per 1d", "5000 per 30d"],
        }
    },
    "lab": {
        "limits": {
            "member.cpu-hours": "20000 per 30d",
            "member.memory-hours": ["2000 per 7d", "5000 per 30d"],
        }
    },
}
PROFILES = {
    "default": {"limits": {"member.servers": "0"}},
    "everyone": {
        "limits": {"server.cpu": "3.651", "server.gpu": "0", "server.memory": "3902839759"}
    },
    "gpu": {"limits": {"server.gpu": "1"}},
    "tier-2": {
        "limits": {"server.cpu": "15.382", "server.gpu": "0", "server.memory": "64020707016"}
    },
    "tier-3": {"limits": {"server.gpu": "1"}},
}
OVERRIDES = {
    "alpha": {"limits": {"server.cpu": "4", "server.memory": "2G"}},
    "beta": {"limits": {"member.storage": "50G", "server.cpu": "8", "server.memory": "6.5G"}},
    "default": {"limits": {"member.storage": "10G", "server.cpu": "4", "server.memory": "2G"}},
    "gamma": {"limits": {"member.storage": "50G", "server.cpu": "8"}},
}
FIRST_HOMES = {"*": {"limits": {"member.storage": "10G"}}}
HOMES = {
    "*": {
        **FIRST_HOMES["*"],
        "boosts": [
            {
                "limit": "member.storage",
                "amount": amount,
                "until": "2999-12-31",
                "member": member,
                "why": "quota_overrides of jupyterhub-home-nfs",
            }
            for member, amount in {
                "sam": "50G",
                "jane@example.org": "512M",
                "jo-ann": "20G",
            }.items()
        ],
    }
}
ACCOUNTS = {
    "*": {"limits": {"group.cpu": "4096", "server.cpu": "32"}},
    "earth": {
        "limits": {
            "group.cpu": "1024",
            "group.cpu-hours": "100000 per month",
            "group.gpu": "16",
            "group.gpu-hours": "1001.667 per month",
            "group.memory": "8T",
        }
    },
    "earth/geo": {
        "plan": "normal",
        "limits": {"group.servers": "60", "member.servers": "5", "server.memory": "256G"},
    },
    "earth/ocean": {
        "plan": "normal",
        "limits": {"member.servers": "40", "server.cpu": "32", "server.memory": "64G"},
        "boosts": [
            {
                "limit": key,
                "amount": amount,
                "until": "2999-12-31",
                "member": "bo",
                "why": f"{what} in Slurm",
            }
            for key, amount, what in (
                ("member.servers", "80", "MaxJobs=80"),
                ("server.cpu", "16", "MaxTRESPerJob=cpu=16"),
            )
        ],
    },
    "physics": {"plan": "long", "limits": {"group.servers": "200", "server.memory": "64G"}},
}

PUBLISHED = [
    ("usage-quotas", "usage-quotas.values.yaml", TIERS, (3, 4, 0, 2)),
    ("usage-quotas", "usage_quotas_config.py", QUICK_START, (3, 7, 4, 1)),
    ("kubespawner", "kubespawner.values.yaml", PROFILES, (9, 2, 2, 22)),
    ("kubespawner", "group_overrides.py", OVERRIDES, (7, 6, 3, 1)),
    ("home-nfs", "home-nfs.values.yaml", HOMES, (1, 3, 5, 2)),
    ("home-nfs", "home-nfs-0.values.yaml", FIRST_HOMES, (1, 0, 0, 1)),
    ("slurm", "slurm.cfg", ACCOUNTS, (20, 8, 18, 18)),
]


@pytest.mark.parametrize(("kind", "name", "groups", "counts"), PUBLISHED)
def test_a_published_configuration_becomes_a_policy(kind, name, groups, counts):
    found = convert(kind, name)
    assert print_policy(found.policy)["groups"] == groups
    assert tuple(found.count(kind) for kind in (MAPS, DIFFERS, CANNOT, ASIDE)) == counts


@pytest.mark.parametrize(("kind", "name"), [row[:2] for row in PUBLISHED])
def test_what_comes_out_can_be_applied(kind, name, tmp_path, capsys):
    db, policy, written = f"sqlite:///{tmp_path / 'q.sqlite'}", tmp_path / "q.yaml", tmp_path / "r"
    code = main(["import", kind, str(IMPORTS / name), "-o", str(policy), "--report", str(written)])
    assert capsys.readouterr() == ("", "")
    text = written.read_text()
    assert code == (FOUND if "Can't be mapped" in text else DONE)
    assert hub_quotas(["apply", str(policy), "--db", db, "--yes"]) == 0
    store = open_store(db, UTC)
    expected = convert(kind, name).policy
    if kind == "slurm":  # without a window there
        expected = slurm.convert((IMPORTS / name).read_text()).policy
    assert store.policy() == expected
    store.close()


def test_memberships_are_a_roster_that_can_be_read(tmp_path, capsys):
    roster = tmp_path / "slurm.csv"
    main(["import", "slurm", str(IMPORTS / "slurm.cfg"), "--roster", str(roster)])
    capsys.readouterr()
    found = {(one.user, one.group): one.role for one in parse_roster(roster.read_text(), "slurm")}
    assert found == {
        ("ada", "earth/geo"): "manager",
        ("ada", "earth/ocean"): "manager",
        ("lin", "earth/geo"): "member",
        ("lin", "earth/ocean"): "member",
        ("bo", "earth/ocean"): "member",
        ("kai", "physics"): "member",
    }


def test_the_report_for_programs(tmp_path, capsys):
    words = ["import", "usage-quotas", str(IMPORTS / "usage_quotas_config.py"), "--json"]
    assert main(words) == FOUND
    out, err = capsys.readouterr()
    assert print_policy(parse_text(out, "out"))["groups"] == QUICK_START
    document = json.loads(err)
    assert document["counts"] == {MAPS: 3, DIFFERS: 7, CANNOT: 4, ASIDE: 1}
    assert document["notes"][0] == {
        "place": ["c.UsageQuotaManager.scope_fallback_strategy", "empty"],
        "what": "memory: 300G in 7 days",
        "kind": DIFFERS,
        "why": "default: member.memory-hours: 300 per 7d; there also for who is in groups of which "
        "no policy says anything.",
        "line": 9,
    }


# -- nothing is lost -------------------------------------------------------------------------------

FREE = {"environment", "node_selector", "groups", "extra_resource_limits", "choices"}
"""Mappings whose keys are names, so that another one is another name."""


def mappings(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all mappings in a document."""
    if isinstance(value, dict):
        yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs:
        if isinstance(inner, (dict, list)):
            yield from mappings(inner, (*place, key))


@pytest.mark.parametrize(
    ("kind", "name", "top"),
    [
        ("usage-quotas", "usage-quotas.values.yaml", "UsageQuotaManager"),
        ("kubespawner", "kubespawner.values.yaml", "profileList"),
        ("home-nfs", "home-nfs.values.yaml", "quotaEnforcer"),
    ],
)
def test_an_unknown_key_is_reported_wherever_it_stands(kind, name, top):
    document = yaml.safe_load((IMPORTS / name).read_text())
    places = [place for place in mappings(document) if top in place and "resources" not in place]
    assert len(places) >= 3
    for place in places:
        changed = copy.deepcopy(document)
        here = changed
        for key in place:
            here = here[key]
        here["zzz"] = {"mem_limit": "1T"} if place[-1] == "profile_options" else "17"
        found = CONVERT[kind](read_values(changed))
        told = [note for note in found.notes if "zzz" in f"{note.place} {note.what}"]
        if place[-1] == "quotaEnforcer" or place[-1] not in (*FREE, "config"):
            assert told, place


def test_an_unknown_option_is_reported_on_each_line_of_a_dump():
    lines = (IMPORTS / "slurm.cfg").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith(("Account", "User", "Cluster", "QOS")) and "'root'" not in line[:14]:
            changed = [*lines[:number], f"{line}:Zzz=17", *lines[number + 1 :]]
            found = slurm.convert("\n".join(changed))
            (told,) = [note for note in found.notes if "Zzz" in note.what]
            assert (told.kind, told.line) == (CANNOT, number + 1)


# -- bad files -------------------------------------------------------------------------------------

BAD = [
    ("usage-quotas", "x.yaml", "hub: {}\n", "there is no UsageQuotaManager in it"),
    ("usage-quotas", "x.yaml", "- a\n", "expected 'key: value' lines"),
    ("usage-quotas", "x.yaml", "a: 1\nb: [\n", ", line 3: this is not YAML"),
    ("usage-quotas", "x.py", "c.X.y = 1\nc.X.y = = 2\n", ", line 2: this is not Python"),
    ("kubespawner", "x.py", "print(1)\n", "no profiles, overrides by group or sizes"),
    ("home-nfs", "x.yaml", "quotaEnforcer: 3\n", "there is no quota of homes in it"),
    ("slurm", "x.cfg", "", "there is no line such as Cluster - 'name'"),
    ("slurm", "x.cfg", "Cluster - 'a'\nAcount - 'b'\n", ", line 2: 'Acount - 'b'' is no line"),
    ("slurm", "x.cfg", "Cluster - 'a'\nParent - 'b'\n", ", line 2: there is no account b before"),
    ("slurm", "x.cfg", "Cluster - 'a':Fairshare\n", ", line 1: 'Fairshare' is no option"),
    ("slurm", "x.cfg", "Cluster - 'a':QOS='b\n", ", line 1: a quote is opened here"),
    ("slurm", "x.cfg", "Cluster - 'a'\n\nCluster - 'b'\n", ", line 3: a second cluster begins"),
    ("slurm", "x.cfg", "Cluster - \n", ", line 1: Cluster has no name"),
    (
        "slurm",
        "x.cfg",
        "Cluster - 'a'\nAccount - 'b'\nAccount - 'b'\n",
        ", line 3: the account b stands here a second time; the first is in line 2",
    ),
]


@pytest.mark.parametrize(("kind", "name", "text", "why"), BAD)
def test_a_bad_file_is_one_sentence(kind, name, text, why, tmp_path, capsys):
    file = tmp_path / name
    file.write_text(text)
    assert main(["import", kind, str(file)]) == UNUSABLE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(str(file))
    assert why in err
    assert err.count("\n") == 1


def test_what_is_not_there_and_what_is_asked_wrongly(tmp_path, capsys):
    assert main(["import", "slurm", str(tmp_path / "none")]) == UNUSABLE
    assert "No such file" in capsys.readouterr().err
    out = str(tmp_path / "no" / "where")
    assert main(["import", "slurm", str(IMPORTS / "slurm.cfg"), "-o", out]) == UNUSABLE
    assert capsys.readouterr().err == f"{out}: No such file or directory.\n"
    for words in (["--window", "5"], ["--until", "soon"], ["--until", "3001-01-01"]):
        with pytest.raises(SystemExit) as stopped:
            main(["import", "slurm", str(IMPORTS / "slurm.cfg"), *words])
        assert stopped.value.code == USAGE


def test_configuration_is_read_and_never_run(tmp_path, capsys):
    ran = tmp_path / "ran"
    file = tmp_path / "jupyterhub_config.py"
    file.write_text(
        f"open({str(ran)!r}, 'w')\nc.KubeSpawner.mem_limit = '1G'\n"
        f"c.KubeSpawner.cpu_limit = open({str(ran)!r}, 'w').fileno()\n"
    )
    assert main(["import", "kubespawner", str(file)]) == FOUND
    out, err = capsys.readouterr()
    assert yaml.safe_load(out) == {"groups": {"*": {"limits": {"server.memory": "1G"}}}}
    assert "line 3, c.KubeSpawner.cpu_limit" in err
    assert not ran.exists()


def test_aliases_are_read_but_not_those_that_stand_for_billions(tmp_path, capsys):
    file = tmp_path / "values.yaml"
    bomb = "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(12))
    file.write_text(f"a0: &a0 [x]\n{bomb}UsageQuotaManager: {{policy: *a12}}\n")
    assert main(["import", "usage-quotas", str(file)]) == UNUSABLE
    file.write_text("UsageQuotaManager: &a {policy: *a}\n")
    assert main(["import", "usage-quotas", str(file)]) == UNUSABLE
    assert capsys.readouterr().err.count("this is not YAML that can be read") == 2


# -- jupyterhub-usage-quotas -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "limits"),
    [
        ("{resource: memory, limit: 1024M, window: 1}", {"member.memory-hours": "1 per 1d"}),
        ("{resource: memory, limit: 2T, window: 7.0}", {"member.memory-hours": "2048 per 7d"}),
        (f"{{resource: memory, limit: {3 * G}, window: 7}}", {"member.memory-hours": "3 per 7d"}),
        ("{resource: cpu, limit: 5K, window: 7}", {"member.cpu-hours": "5000 per 7d"}),
        ("{resource: cpu, limit: 3G, window: 7}", {"member.cpu-hours": "300000 per 7d"}),
        ("{resource: cpu, limit: 0, window: 7}", {"member.cpu-hours": "0 per 7d"}),
        ("{resource: cpu, limit: '5', window: 7}", None),
        ("{resource: cpu, limit: 1.5, window: 7}", None),
        ("{resource: cpu, limit: true, window: 7}", None),
        ("{resource: cpu, limit: 5, window: 0}", None),
        ("{resource: cpu, limit: 5, window: 99999}", None),
        ("{resource: cpu, limit: {value: 5, unit: GiB-hours}, window: 7}", None),
    ],
)
def test_amounts_of_usage_quotas_are_what_its_code_makes_of_them(policy, limits):
    entry = {**yaml.safe_load(policy), "scope": {"group": ["lab"]}}
    found = usage_quotas.convert(read_values({"UsageQuotaManager": {"policy": [entry]}}))
    groups = print_policy(found.policy).get("groups", {})
    assert groups == ({"lab": {"limits": limits}} if limits else {})
    assert found.count(CANNOT) == (limits is None)


@pytest.mark.parametrize(("operator", "hours"), [("min", 10), ("max", 30), ("sum", 40)])
def test_policies_of_one_group_are_put_together_as_there(operator, hours):
    policies = [
        {"resource": "cpu", "limit": limit, "window": 7, "scope": {"group": ["lab"]}}
        for limit in (10, 30)
    ]
    manager = {
        "policy": policies,
        "scope_fallback_strategy": {"intersection": operator},
        "failover_open": False,
    }
    found = usage_quotas.convert(read_values({"UsageQuotaManager": manager}))
    assert print_policy(found.policy)["groups"]["lab"]["limits"] == {
        "member.cpu-hours": f"{hours} per 7d"
    }
    assert not any("on_outage" in note.why for note in found.notes)


# -- KubeSpawner -----------------------------------------------------------------------------------


def sizes_of(profile: dict[str, Any], options: dict[str, str]) -> dict[str, Any]:
    """What KubeSpawner itself makes of a choice."""
    spawner = SimpleNamespace(
        user_options=options,
        log=logging.getLogger("none"),
        mem_limit=None,
        cpu_limit=None,
        extra_resource_limits={},
        environment={},
        node_selector={},
    )
    spawner._get_profile = lambda slug, profiles: profiles[0]
    spawner._apply_overrides = lambda override: KubeSpawner._apply_overrides(spawner, override)
    KubeSpawner._load_profile(spawner, "", [copy.deepcopy(profile)])
    return {
        "memory": spawner.mem_limit,
        "cpu": spawner.cpu_limit,
        "gpu": int(spawner.extra_resource_limits.get("nvidia.com/gpu", 0)),
    }


def test_each_group_gets_the_largest_server_that_kubespawner_lets_it_choose():
    text = (IMPORTS / "kubespawner.values.yaml").read_text()
    profiles = yaml.safe_load(text)["basehub"]["jupyterhub"]["singleuser"]["profileList"]
    policy = convert("kubespawner", "kubespawner.values.yaml").policy

    def may(entry: dict[str, Any], group: str) -> bool:
        return group in entry.get("allowed_groups", [group])

    for group in ("everyone", "tier-2", "tier-3", "gpu"):
        offered = []
        for profile in (profile for profile in profiles if may(profile, group)):
            options = profile.get("profile_options", {})
            choices = [
                [key for key, choice in option["choices"].items() if may(choice, group)]
                for option in options.values()
            ]
            offered += [
                sizes_of(profile, dict(zip(options, chosen, strict=True)))
                for chosen in itertools.product(*choices)
            ]
        assert offered
        limits = {limit.resource: limit.amount for limit in policy.limits(group)}
        for resource, unit in (("memory", 1), ("cpu", 1000), ("gpu", 1)):
            amounts = [size[resource] for size in offered]
            if None in amounts:
                assert resource not in limits
            else:
                assert 0 <= limits[resource] - max(amounts) * unit < 1


def test_without_groups_a_size_is_everybodys():
    found = kubespawner.convert(
        source(
            "singleuser: {memory: {limit: 4G}, storage: {capacity: 5Gi},"
            " extraResource: {limits: {amd.com/gpu: 1, nvidia.com/gpu: 2}}}"
        )
    )
    assert print_policy(found.policy)["groups"] == {
        "*": {
            "limits": {
                "member.storage": "5G",
                "server.amd.com/gpu": "1",
                "server.memory": "4G",
                "server.nvidia.com/gpu": "2",
            }
        }
    }
    assert found.count(CANNOT) == 0


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ("{allowed_groups: open}", "it is taken as if it were for all"),
        ("{kubespawner_override: {mem_limit: lots}}", "'lots' is not an amount of memory"),
        ("{kubespawner_override: {cpu_limit: lots}}", "'lots' is not a number of cores"),
        ("{kubespawner_override: {storage_capacity: 1Gi}}", "a home is its owner's"),
        ("{kubespawner_override: {extra_resource_limits: {x.y/z: lots}}}", "not a Kubernetes"),
        ("{kubespawner_override: {extra_resource_limits: 3}}", "there it is a mapping"),
        ("{profile_options: {o: {choices: {c: 3}}}}", "there it is a mapping"),
        ("{profile_options: 3}", "there it is a mapping"),
        ("3", "there it is a profile"),
    ],
)
def test_what_a_profile_can_not_say_is_said(profile, why):
    found = kubespawner.convert(source(f"singleuser: {{profileList: [{profile}]}}"))
    assert any(why in text for text in said(found, CANNOT)), found.notes
    assert not [limit for group in found.policy.groups.values() for limit in group.limits]


# -- jupyterhub-home-nfs ---------------------------------------------------------------------------


def test_each_home_has_what_it_had():
    policy = convert("home-nfs", "home-nfs.values.yaml").policy
    quotas = {"sam": 50, "jane@example.org": 0.5, "jo-ann": 20, "kim": 10}
    for groups in ([], ["geo-101"], ["geo-101", "lab"]):
        for user, quota in quotas.items():
            home = home_of(policy, user, groups, NOW, UTC)
            assert home
            assert home.amount == quota * G, user


@pytest.mark.parametrize(
    ("directory", "user"),
    [
        ("sam", "sam"),
        ("jane-40example-2eorg", "jane@example.org"),
        ("j-c3-bcrgen", "jürgen"),
        ("_shared", ""),
        ("Sam", ""),
        ("sam---1a2b3c4d", ""),
        ("x-ff", ""),
    ],
)
def test_whose_home_a_directory_is(directory, user):
    assert home_nfs.user_of(directory) == user


@pytest.mark.parametrize(
    ("manager", "counts"),
    [
        ("hard_quota: 0, exclude: [sam], quota_overrides: {kim: 3}", (2, 0, 1)),
        ("hard_quota: lots", (0, 0, 1)),
        ("hard_quota: 1.5, quota_overrides: [sam], exclude: sam", (1, 0, 2)),
        ("quota_overrides: {sam: lots}", (1, 0, 1)),
        ("hard_quota: 1, quota_overrides: {kim: 3}, exclude: [[sam], {}]", (1, 1, 2)),
    ],
)
def test_quotas_of_homes_that_are_none(manager, counts):
    found = home_nfs.convert(source(f"config: {{QuotaManager: {{{manager}}}}}"))
    assert tuple(found.count(kind) for kind in (MAPS, DIFFERS, CANNOT)) == counts


FAST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""However busy the machine is."""

# -- Slurm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wall"),
    [
        ("480", "8h"),
        ("90:30", "5430s"),
        ("08:00:00", "8h"),
        ("7-00", "7d"),
        ("1-12:00:00", "36h"),
    ],
)
def test_times_are_read_as_slurm_writes_them(text, wall):
    assert say_wall(text) == wall


@pytest.mark.parametrize(
    ("option", "limits"),
    [
        ("GrpCPUs=4", {"group.cpu": "4"}),
        ("GrpMem=2048", {"group.memory": "2G"}),
        ("grptres=CPU=4,Mem=500G", {"group.cpu": "4", "group.memory": "500G"}),
        ("GrpTRES=cpu=-1,mem=1T", {"group.memory": "1T"}),
        ("GrpTRES=gres/gpu:a100=2,gres/gpu=3", {"group.gpu": "3"}),
        ("GrpTRESMins=mem=6144000", {"group.memory-hours": "100 per 30d"}),
        ("GrpCPUMins=60", {"group.cpu-hours": "1 per 30d"}),
        ("GrpJobs=-1", {}),
        ("GrpJobs=many", {}),
        ("GrpTRES=cpu", {}),
        ("GrpTRES=mem=x", {}),
        ("MaxWall=soon", {}),
        ("Description='a:GrpJobs=3'", {}),
        ('Description="it\'s":GrpJobs=3', {"group.servers": "3"}),
    ],
)
def test_options_of_an_account(option, limits):
    found = slurm.convert(f"Cluster - 'c'\nParent - 'root'\nAccount - 'a':{option}\n", "30d")
    groups = print_policy(found.policy).get("groups", {})
    assert groups == ({"a": {"limits": limits}} if limits else {})
    assert found.notes


def test_a_user_in_several_accounts_has_the_limit_of_each():
    """MaxJobs is of each user of an account, and so does not stand at the account above."""
    dump = (
        "Cluster - 'c':MaxJobs=3\nParent - 'root'\nAccount - 'a'\nAccount - 'b'\n"
        "Parent - 'a'\nUser - 'sam'\nParent - 'b'\nUser - 'sam'\n"
    )
    groups = slurm.convert(dump).policy.groups
    assert {name: group.limits[0].text for name, group in groups.items()} == {"a": "3", "b": "3"}


def test_what_holds_for_nobody_is_told_too():
    dump = (
        "Cluster - 'c':MaxJobs=3:MaxTRESPerJob=cpu=1:MaxTRES=cpu=2\nParent - 'root'\n"
        "Account - 'a':MaxJobs=4:MaxTRESPerJob=cpu=8\nParent - 'a':Odd=1\nUser - 'sam'\n"
    )
    found = slurm.convert(dump)
    assert [(note.line, note.what) for note in found.notes if note.kind == ASIDE] == [
        (1, "MaxJobs=3"),
        (1, "MaxTRESPerJob=cpu=1"),
    ]
    assert [(note.line, note.what) for note in found.notes if note.kind == CANNOT] == [
        (1, "MaxTRES=cpu=2"),
        (4, "Odd: 1"),
    ]


AMOUNTS = st.none() | st.integers(1, 6)
TREE = st.lists(
    st.tuples(st.integers(0, 7), AMOUNTS, AMOUNTS, st.lists(AMOUNTS, max_size=3)),
    min_size=1,
    max_size=8,
)
"""Accounts: which of those before it is its parent, MaxTRES, GrpTRES, MaxTRES of each user."""


@FAST
@example([(0, 3, None, [2, 1]), (1, 3, None, [3])], None)  # one user in an account and below it
@example([(0, 3, None, []), (1, 2, None, []), (1, 3, None, [None]), (1, None, None, [None])], None)
@given(TREE, AMOUNTS)
def test_the_nearest_max_and_every_grp_hold_as_in_slurm(tree, of_all):
    """Slurm's own rule, computed the plain way, for whoever may be in any tree of accounts."""

    def option(name: str, amount: int | None) -> str:
        return "" if amount is None else f":{name}=cpu={amount}"

    lines = [f"Cluster - 'c'{option('MaxTRESPerJob', of_all)}"]
    parents = []
    for number, (parent, most, together, users) in enumerate(tree):
        parents.append(parent % number if number and parent % (number + 1) else -1)
        above = f"a{parents[-1]}" if parents[-1] >= 0 else "root"
        lines += [f"Parent - '{above}'"]
        lines += [
            f"Account - 'a{number}'{option('MaxTRESPerJob', most)}{option('GrpTRES', together)}"
        ]
        lines += [f"Parent - 'a{number}'"] if users else []
        lines += [
            f"User - 'u{n}'{option('MaxTRESPerJob', amount)}" for n, amount in enumerate(users)
        ]
    found = slurm.convert("\n".join(lines))
    paths: list[str] = []
    for number, parent in enumerate(parents):
        paths.append(f"{paths[parent]}/a{number}" if parent >= 0 else f"a{number}")
    unsaid = [note for note in found.notes if note.kind == CANNOT and "MaxTRES" in note.what]
    for number, (_parent, _most, _together, users) in enumerate(tree):
        chain = [number]
        while parents[chain[-1]] >= 0:
            chain.append(parents[chain[-1]])
        for n, own in enumerate(users):
            wanted = [own, *(tree[one][1] for one in chain), of_all]
            nearest = next((amount for amount in wanted if amount is not None), None)
            limits = found.policy.limits_for(paths[number], f"u{n}", NOW, UTC)
            held = [limit.amount // 1000 for limit in limits if limit.key == "server.cpu"]
            if min(held, default=None) != nearest:
                assert unsaid, "\n".join(lines)
        grp = sorted(tree[one][2] for one in chain if tree[one][2] is not None)
        limits = found.policy.limits(paths[number])
        assert sorted(limit.amount // 1000 for limit in limits if limit.key == "group.cpu") == grp


# -- whatever comes --------------------------------------------------------------------------------


def holds(found: Converted) -> None:
    """What was converted can be written, read and told."""
    assert parse_policy(print_policy(found.policy)) == found.policy
    assert parse_text(policy_text(found.policy), "it") == found.policy
    assert report(found.notes)


NAMES = st.sampled_from(["lab", "a/b", "", "/", "é", "x" * 300, "default", "*", "\0"])
SCALARS = st.sampled_from([None, True, 0, 7, 0.5, -3, "5G", "5g", "1e3", "x", "2", 10**30])
WORDS = """
    policy resource limit window scope group empty intersection scope_fallback_strategy
    profileList profile_list profile_options choices kubespawner_override mem_limit cpu_limit
    extra_resource_limits nvidia.com/gpu allowed_groups group_overrides groups spawner_override
    storage_capacity unlisted_choice enabled memory cpu storage capacity hard_quota exclude
    quota_overrides sam display_name extraConfig
"""
KEYS = st.sampled_from(WORDS.split())
JUNK = st.recursive(
    SCALARS | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@FAST
@given(st.sampled_from(sorted(CONVERT)), st.dictionaries(KEYS, JUNK, max_size=5))
def test_whatever_values_say_comes_to_a_policy_or_a_sentence(kind, traits):
    document = {
        "singleuser": traits,
        "quotaEnforcer": traits,
        "hub": {
            "config": dict.fromkeys(
                ("UsageQuotaManager", "KubeSpawner", "Spawner", "QuotaManager"), traits
            )
        },
    }
    try:
        holds(CONVERT[kind](read_values(document)))
    except SourceError as error:
        assert str(error)


LIMITS = st.builds("{}{}".format, st.integers(0, 10**6), st.sampled_from("KMGT"))
BUDGETS = st.fixed_dictionaries(
    {
        "resource": st.sampled_from(["memory", "cpu"]),
        "limit": st.integers(0, 10**15) | LIMITS,
        "window": st.integers(1, 400),
        "scope": st.fixed_dictionaries({"group": st.lists(NAMES, min_size=1, max_size=3)}),
    }
)


@FAST
@given(st.lists(BUDGETS, max_size=6), st.sampled_from(["min", "max", "sum"]))
def test_every_policy_that_is_valid_there_is_read(policies, operator):
    manager = {"policy": policies, "scope_fallback_strategy": {"intersection": operator}}
    found = usage_quotas.convert(read_values({"UsageQuotaManager": manager}))
    holds(found)
    for group in {"lab", "a/b", "é"}:
        named = {
            (one["resource"], one["window"]) for one in policies if group in one["scope"]["group"]
        }
        assert len(found.policy.limits_of(group)) == len(named)


LINES = st.sampled_from(["Account", "User", "Parent", "QOS", "Account"])
SOME = """
    GrpTRES=cpu=4,mem=8G MaxJobs=3 MaxTRESPerJob=cpu=2 GrpTRES=cpu=9 MaxWall=60 QOS='a' QOS='b,a'
    DefaultQOS='b' Coordinator='a,b,c' GrpTRESMins=cpu=100 MaxTRESPerUser=cpu=5 GrpJobs=9
    MaxTRESPerAccount=cpu=3 Fairshare=parent Partition='x' GrpTRES=cpu=-1 Odd=1
"""
OPTIONS = st.sampled_from(SOME.split())
DUMP = st.lists(
    st.tuples(LINES, st.sampled_from("abcd"), st.lists(OPTIONS, max_size=4)), max_size=14
)


@FAST
@given(DUMP, st.sampled_from(["", "month", "30d"]))
def test_whatever_a_dump_says_comes_to_a_policy_or_a_sentence(dump, window):
    lines = [f"{kind} - '{name}'" + "".join(f":{o}" for o in some) for kind, name, some in dump]
    try:
        holds(slurm.convert("\n".join(["Cluster - 'c'", "Parent - 'root'", *lines]), window))
    except SourceError as error:
        assert error.line


def test_the_importers_are_pure():
    for path in (ROOT / "hub_quotas" / "importing").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names, path
            assert not set(names) & {"os", "time", "io", "pathlib", "socket"}, path
